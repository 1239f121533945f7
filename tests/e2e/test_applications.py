"""Tables as well-known applications have them import exactly, with no flags beside --table where a key can be seen."""

from __future__ import annotations

import json
import os
import random
import re
import string
from typing import Any

import pytest

from tests.harness import World
from tests.schemas import SCHEMAS, Schema

ROWS = 300
NULLS, EXTREMES = 0.15, 0.1
LETTERS = string.ascii_letters + string.digits
WORDS = [
    "",
    "Zoë",
    "山田",
    "O'Brien",
    "a:b",
    "back\\slash",
    "two  words",
    'quo"te',
    "{brace}",
    "%s",
    "\r\n",
    "🦉",
    "x" * 300,
]
RANGES = {"tinyint": 2**7, "smallint": 2**15, "mediumint": 2**23, "int": 2**31, "bigint": 2**63}


def seed() -> int:
    """That of the environment, or a new one. It is printed, so that a failure can be had again."""
    found = int(os.environ.get("SHARDLOAD_TEST_SEED") or random.randrange(2**32))
    print(f"SHARDLOAD_TEST_SEED={found}")
    return found


class Column:
    """A column as the server describes it, and values for it as literals of SQL."""

    def __init__(self, described: tuple[Any, ...], schema: Schema, chance: random.Random) -> None:
        name, type_, collation, null = (part and part.decode() for part in described[:4])
        self.name: str = name
        self.type: str = type_
        is_json = re.search(rf"\b{name} JSON\b", schema.columns) is not None  # MariaDB's are longtext with a check
        self.base = "json" if is_json else re.split(r"\W", type_)[0]
        self.size = int(found[1]) if (found := re.search(r"\((\d+)", type_)) else 60
        self.is_nullable = null == "YES"
        self.is_unicode = (collation or "").startswith("utf8mb4")
        self._chance = chance

    def value(self, *, is_key: bool) -> str:
        """Anything that the column may hold; in a key something short, and without a colon or a NULL."""
        if self.is_nullable and not is_key and self._chance.random() < NULLS:
            return "NULL"
        if self.base in RANGES:
            return str(self._integer(is_key=is_key))
        if "char" in self.base or "text" in self.base:
            return f"CONVERT(x'{self._text(is_key=is_key).encode().hex()}' USING utf8mb4)"
        if "binary" in self.base or "blob" in self.base:
            length = self.size if self.base == "binary" else self._chance.randint(1, min(self.size, 60))
            return f"x'{self._chance.randbytes(length).replace(b':', b'_').hex()}'"
        return self._other()

    def _integer(self, *, is_key: bool) -> int:
        limit = min(RANGES[self.base], 10**6) if is_key else RANGES[self.base]
        low, high = (0, 2 * limit - 1) if "unsigned" in self.type else (-limit, limit - 1)
        if self._chance.random() < EXTREMES:
            return self._chance.choice([low, high, 0, 1])
        return self._chance.randint(low, high)

    def _text(self, *, is_key: bool) -> str:
        """A key's text is as long as it may be, up to 40 letters, so that no two are alike."""
        if is_key:
            return "".join(self._chance.choices(LETTERS, k=min(self.size, 40)))
        text = self._chance.choice(WORDS) + "".join(self._chance.choices(LETTERS, k=self._chance.randrange(20)))
        return (text if self.is_unicode else text.encode("ascii", "ignore").decode())[: self.size]

    def _other(self) -> str:
        moment = f"{self._chance.randint(1971, 2037)}-{self._chance.randint(1, 12):02}-{self._chance.randint(1, 28):02}"
        clock = f"{self._chance.randrange(24):02}:{self._chance.randrange(60):02}:07.{self._chance.randrange(10**6):06}"
        return {
            "date": f"'{moment}'",
            "datetime": f"'{moment} {clock}'",
            "timestamp": f"'{moment} {clock}'",
            "decimal": f"{self._chance.randint(-(10**7), 10**7)}.25",
            "double": f"{self._chance.uniform(-1e6, 1e6)!r}",
            "bit": self._chance.choice(["b'0'", "b'1'"]),
            "json": "'" + json.dumps({"n": self._chance.randrange(9), "word": "ü"}, ensure_ascii=False) + "'",
        }[self.base]


def fill(world: World, schema: Schema, chance: random.Random) -> list[Column]:
    """Make the table, with rows whose keys are all different, whatever the case of their letters. Its columns."""
    world.tables.append(schema.table)
    name = f"`{schema.table}`"
    world.execute(f"DROP TABLE IF EXISTS {name}", f"CREATE TABLE {name} ({schema.columns}) {schema.options}")
    columns = [Column(row, schema, chance) for row in world.execute(f"SHOW FULL COLUMNS FROM {name}")]
    unique = {row[4].decode() for row in world.execute(f"SHOW INDEX FROM {name} WHERE Non_unique = 0")} | {*schema.key}
    rows: dict[tuple[str, ...], str] = {}
    while len(rows) < ROWS:
        values = {one.name: one.value(is_key=one.name in unique) for one in columns}
        rows[tuple(values[part] for part in schema.key)] = f"({', '.join(values.values())})"
    names = ", ".join(f"`{one.name}`" for one in columns)
    world.execute("SET sql_mode = ''", f"INSERT IGNORE INTO {name} ({names}) VALUES {', '.join(rows.values())}")
    return columns


def expected(world: World, schema: Schema, columns: list[Column]) -> dict[bytes, dict[bytes, bytes]]:
    """What the test itself selects, by the key that is the default."""
    names = ", ".join(f"`{one.name}`" + " + 0" * (one.base == "bit") for one in columns)
    found = {}
    for row in world.execute(f"SELECT {names} FROM `{schema.table}`"):
        values = {one.name: value for one, value in zip(columns, row, strict=True)}
        key = b":".join([schema.table.encode(), *(values[part] for part in schema.key)])
        assert key not in found
        found[key] = {name.encode(): value for name, value in values.items() if value is not None}
    return found


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_a_table_as_an_application_has_it(world: World, schema: Schema) -> None:
    """Key by key, and no key more."""
    columns = fill(world, schema, random.Random(f"{seed()} {schema}"))
    keys = expected(world, schema, columns)
    assert len(keys) > ROWS // 2
    done = world.run("run", "--table", schema.table, "--job", "app", "--json", "--range-rows", "50", *schema.flags)
    assert done.code == 0, done.err
    assert done.summary["rows_read"] == done.summary["keys_written"] == len(keys)
    client = world.target()
    assert set(client.scan_iter(count=1000)) == keys.keys()
    for key, fields in keys.items():
        assert client.hgetall(key) == fields, key
