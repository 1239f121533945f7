"""A file such as ~/.my.cnf: read as MySQL's own programs read it, refused in one line that shows nothing of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shardload.config.defaultsfile import Defaults, read_defaults
from shardload.errors import SpecError

SECRET = "hunter2"
FLAG = "--mysql-defaults-file"


def read(tmp_path: Path, text: str) -> Defaults:
    """What a file with this text says."""
    file = tmp_path / "my.cnf"
    file.write_bytes(text.encode())
    return read_defaults(file, FLAG)


@pytest.mark.parametrize(
    ("line", "password"),
    [
        ("password=pw", "pw"),
        ("  password \t=  pw  ", "pw"),
        ("password='p w'", "p w"),
        ('password = "p#w" # a comment', "p#w"),
        ("password=pw # a comment", "pw"),
        ("password=p;w", "p;w"),
        ("password=p=w", "p=w"),
        ("password=p'w", "p'w"),
        ("password='p'w", "'p'w"),
        (r'password="p\"w"', 'p"w'),
        (r"password=a\nb\tc\rd\be\sf\\g\'h\xi", "a\nb\tc\rd\be f\\g'h\\xi"),
        ("password=pw\\", "pw\\"),
        ("password=", ""),
        ("password=''", ""),
        ("password='", "'"),
        ("PASSWORD=x\npassword=pw", "pw"),
        ("password=old\npassword=pw", "pw"),
        ("loose-password=pw", "pw"),
        ("password=pw\r", "pw"),
        ("password=pä€", "pä€"),
        (r"password='p\\' # a comment", "p\\"),
    ],
)
def test_values(tmp_path: Path, line: str, password: str) -> None:
    """Spaces around, quotes, comments and escapes are those of MySQL's manual, "Using Option Files"."""
    assert read(tmp_path, f"[client]\n{line}\n").password == password


def test_all_that_is_read(tmp_path: Path) -> None:
    """Groups of this program and of every client; the last value counts; what other programs are told is ignored."""
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.cnf").write_text("[client]\nuser=a\nhost=db1\n[mysqld]\nport=1\n")
    (tmp_path / "conf.d" / "b.cnf").write_text("[client]\nuser=b\n")
    (tmp_path / "conf.d" / "c.txt").write_text("[client]\nuser=c\n")
    (tmp_path / "more.cnf").write_text("[client-server]\nssl_mode=verify_ca\nport=3307\n")
    found = read(
        tmp_path,
        f"# mine\n; too\n\n[ client ]\nno-auto-rehash\nssl-key=key.pem\n!include {tmp_path}/more.cnf\npassword=pw\n"
        f"! includedir {tmp_path}/conf.d\n[mysql]\nuser=other\n[shardload] # ours\ndatabase=app\n"
        "ssl-ca=/ca.pem\nssl_capath=/ca\nssl-cert=/cert.pem\nsocket=/run/my.sock\n",
    )
    assert vars(found) == vars(
        Defaults("b", "pw", "db1", 3307, "", "app", "VERIFY_CA", Path("/ca.pem"), Path("/ca"), Path("/cert.pem"),
                 Path("key.pem").absolute())
    )  # fmt: skip
    assert SECRET not in repr(read(tmp_path, f"[client]\npassword={SECRET}"))


@pytest.mark.parametrize(
    ("lines", "socket"),
    [
        ("socket=/s", "/s"),
        ("socket=/s\nhost=localhost", "/s"),
        ("socket=/s\nhost=127.0.0.1", ""),
        ("socket=/s\nprotocol=TCP", ""),
        ("socket=/s\nport=3307", "/s"),
    ],
)
def test_a_socket_is_for_localhost(tmp_path: Path, lines: str, socket: str) -> None:
    """As the mysql client decides: with another host, or with protocol=tcp, it does not count."""
    assert read(tmp_path, f"[client]\n{lines}\n").socket == socket


@pytest.mark.parametrize(
    ("lines", "mode"),
    [
        ("", None),
        ("ssl", "REQUIRED"),
        ("ssl=1", "REQUIRED"),
        ("ssl=0", "DISABLED"),
        ("ssl=OFF", "DISABLED"),
        ("skip-ssl", "DISABLED"),
        ("disable_ssl", "DISABLED"),
        ("enable-ssl", "REQUIRED"),
        ("ssl-verify-server-cert", "VERIFY_IDENTITY"),
        ("ssl_verify_server_cert=off", None),
        ("disable-ssl-verify-server-cert", None),
        ("ssl\nssl-mode=Verify_Identity", "VERIFY_IDENTITY"),
        ("ssl-mode=Verify_Identity\nssl", "VERIFY_IDENTITY"),
        ("ssl-verify-server-cert\nssl", "VERIFY_IDENTITY"),
        ("ssl-ca=/ca.pem\nssl-verify-server-cert=ON\nssl=ON", "VERIFY_IDENTITY"),
        ("ssl-ca=/ca.pem\nssl", "VERIFY_CA"),
        ("ssl\nssl-capath=/ca", "VERIFY_CA"),
        ("ssl-mode=required\nssl\nssl-ca=/ca.pem", "REQUIRED"),
        ("ssl-mode=verify_ca\nskip-ssl", "VERIFY_CA"),
    ],
)
def test_how_mariadb_asks_for_tls(tmp_path: Path, lines: str, mode: str | None) -> None:
    """Its options, and those of older versions of MySQL, become one of the modes."""
    assert read(tmp_path, f"[client]\n{lines}\n").ssl_mode == mode


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("", "has no group [client]"),
        ("[mysqld]\nport=1", "has no group [client]"),
        (f"password={SECRET}", "line 1: an option stands before the first group"),
        (f"\n[client\npassword={SECRET}", "line 2: a group's name has no ']'"),
        ("[client]\npassword", "password has no value"),
        ("[client]\nhost", "host has no value"),
        (f"[client]\nport={SECRET}", "port is not a number from 1 to 65535"),
        ("[client]\nport=65536", "port is not a number from 1 to 65535"),
        (f"[client]\nssl-mode={SECRET}", "ssl-mode is not one of DISABLED, PREFERRED"),
        ("[client]\nssl-crl=/x", "ssl-crl is not supported"),
        (f"[client]\n!read {SECRET}", "line 2: only !include FILE and !includedir DIRECTORY"),
        ("[client]\n!include /nowhere/x", "cannot read /nowhere/x: No such file or directory"),
        ("[client]\n!includedir /nowhere", "line 2: there is no directory /nowhere"),
        ("[client]\n#" + "x" * 2**20, "is longer than 1,048,576 bytes"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, text: str, fragment: str) -> None:
    """One line that names the flag, the file and the line, with a next step, and shows no value."""
    with pytest.raises(SpecError) as caught:
        read(tmp_path, text)
    assert fragment in caught.value.message
    assert caught.value.message.startswith(f"{FLAG}: ")
    assert caught.value.hint
    assert SECRET not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, a directory, not text, writable by everybody, or included without end."""
    file = tmp_path / "my.cnf"

    def assert_refused(fragment: str) -> None:
        with pytest.raises(SpecError, match=fragment):
            read_defaults(file, FLAG)

    assert_refused("No such file")
    file.mkdir()
    assert_refused("Is a directory")
    file.rmdir()
    file.write_bytes(b"[client]\npassword=\xff")
    assert_refused("is not UTF-8 text")
    file.write_text(f"[client]\n!include {file}")
    assert_refused("include each other more than 10 deep")
    file.write_text("[client]\nuser=x")
    file.chmod(0o666)
    assert_refused("everybody may write")
    file.chmod(0o644)
    assert read_defaults(file, FLAG).user == "x"


lines = st.text(st.sampled_from("pw='\"\\# ;\tnrtbs=[é"), max_size=14)


@given(values=st.lists(lines, min_size=1, max_size=5))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mysqls_own_program_reads_the_same(tmp_path: Path, values: list[str]) -> None:
    """`my_print_defaults`, of MySQL and of MariaDB, shows what their clients read."""
    program = shutil.which("my_print_defaults")
    if program is None:
        assert not os.environ.get("CI")
        pytest.skip("my_print_defaults is not installed")
    file = tmp_path / "my.cnf"
    file.write_text("[client]\n" + "".join(f"password={value}\nuser=end\n" for value in values), newline="")
    told = subprocess.run([program, "--help"], capture_output=True, text=True, check=False).stdout
    shows = ["--show"] if "--show" in told else []  # MySQL's hides passwords otherwise
    command = [program, f"--defaults-file={file}", *shows, "client"]
    shown = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    last = shown.split("--user=end\n")[-2].removeprefix("--password=").removesuffix("\n")
    assert read_defaults(file, FLAG).password == last
