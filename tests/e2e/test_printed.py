"""What a table holds, as commands print it: exact, harmless, and on any terminal."""

from __future__ import annotations

import base64
import json

from tests.harness import World

COLUMNS = "id BIGINT UNSIGNED PRIMARY KEY, name VARCHAR(100) CHARACTER SET utf8mb4, raw VARBINARY(100)"
NAME, RAW = "a\x1b]0;€\\\n\u202e", b"\xff\x00\x1b"
SHOWN = r"odd:a\x1b]0;\xe2\x82\xac\\\n\xe2\x80\xae"


def test_hostile_values_on_a_latin_1_terminal(world: World) -> None:
    """`plan` and `verify` say all they have to say, a line each, and leave with their own codes."""
    world.make_table("odd", COLUMNS)
    world.execute(f"INSERT INTO odd VALUES (1, 0x{NAME.encode().hex()}, 0x{RAW.hex()}), (2, 'plain', NULL)")
    flags = ("--table", "odd", "--key", "odd:{name}")
    assert world.run("run", *flags, "--job", "odd").code == 0
    planned = world.run("plan", *flags, PYTHONIOENCODING="latin-1")
    assert planned.code == 0
    assert f"first key: {SHOWN}\n" in planned.out
    assert "  raw = \\xff\\x00\\x1b\n" in planned.out
    told = json.loads(world.run("plan", *flags, "--json").out)
    assert told["first_key"] == f"odd:{NAME}"
    assert told["first_fields"]["name"] == NAME
    assert base64.b64decode(told["first_fields"]["raw"]["base64"]) == RAW
    client = world.target()
    client.delete(f"odd:{NAME}")
    client.hset("odd:plain", "raw\n\x1b", "2")
    compared = world.run("verify", "odd", PYTHONIOENCODING="latin-1")
    assert compared.code == 4
    assert compared.out.splitlines()[:2] == [f"{SHOWN}: missing", r"odd:plain: different in raw\n\x1b"]
    assert world.run("verify", "odd", PYTHONIOENCODING="utf-8").out.startswith(SHOWN.replace(r"\xe2\x82\xac", "€"))
