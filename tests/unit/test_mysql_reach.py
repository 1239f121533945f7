"""The flags beside --mysql and its defaults file: what they put into the URL, what is stored, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from shardload.config.mysqlreach import mysql_from_flags
from shardload.config.spec import JobSpec, load, load_stored, passwords_to_repeat
from shardload.config.urls import SourceTls, SourceUrl
from shardload.errors import SpecError
from tests.certificates import Authority, Pair, private_pem

SECRET = "hunter2"
REDIS = "redis://cache"
URL = "mysql://reader:pw@db/app"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Pair]:
    """An authority's certificate, and a client's with its key."""
    authority = Authority(tmp_path_factory.mktemp("files"))
    return authority.cert, authority.issue("client")


def loaded(mysql: str | None = URL, **flags: Any) -> JobSpec:
    """A spec with these flags."""
    return load({"mysql": mysql, "redis": REDIS, "table": "user", "job": "j", "state_dir": "/s", **flags}, None, {})


def refused(mysql: str | None = URL, **flags: Any) -> SpecError:
    """The error that these flags raise: one line, without a password."""
    with pytest.raises(SpecError) as caught:
        loaded(mysql, **flags)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    assert SECRET not in str(caught.value)
    return caught.value


def my_cnf(tmp_path: Path, *lines: str) -> str:
    """A defaults file's path."""
    file = tmp_path / "my.cnf"
    file.write_text("\n".join(["[client]", *lines]))
    return str(file)


# ---- TLS


def test_modes(files: tuple[Path, Pair]) -> None:
    """In any case; an authority implies that it is checked; a certificate implies nothing."""
    ca, client = files
    assert loaded().mysql.tls == SourceTls("PREFERRED")
    assert loaded(mysql_ssl_mode="required").mysql.tls == SourceTls("REQUIRED")
    assert loaded(mysql_ssl_mode="Verify-Identity").mysql.tls == SourceTls("VERIFY_IDENTITY")
    assert loaded(mysql_ssl_ca=str(ca)).mysql.tls == SourceTls("VERIFY_CA", ca)
    assert loaded(mysql_ssl_ca=str(ca), mysql_ssl_mode="VERIFY_IDENTITY").mysql.tls == SourceTls("VERIFY_IDENTITY", ca)
    pair = {"mysql_ssl_cert": str(client.cert), "mysql_ssl_key": str(client.key)}
    assert loaded(**pair).mysql.tls == SourceTls("PREFERRED", None, None, client.cert, client.key)


def test_they_are_stored(files: tuple[Path, Pair], monkeypatch: pytest.MonkeyPatch) -> None:
    """As absolute paths; a flag of resume wins; they are no part of the identity."""
    ca, client = files
    monkeypatch.chdir(ca.parent)
    spec = loaded(
        mysql_ssl_ca=ca.name, mysql_ssl_cert=client.cert.name, mysql_ssl_key=client.key.name,
        mysql_ssl_mode="verify_identity",
    )  # fmt: skip
    assert spec.mysql.tls == SourceTls("VERIFY_IDENTITY", ca, None, client.cert, client.key)
    assert spec.identity() == loaded().identity()
    stored = spec.stored()
    assert stored["mysql_ssl_ca"] == str(ca)
    assert stored["mysql_ssl_mode"] == "VERIFY_IDENTITY"
    again = load_stored(stored, {"mysql": URL, "state_dir": Path("/s"), "mysql_ssl_mode": "verify_ca"}, {})
    assert again.mysql.tls == replace(spec.mysql.tls, mode="VERIFY_CA")


def test_what_does_not_fit(files: tuple[Path, Pair], tmp_path: Path) -> None:
    """Each names its flag."""
    ca, client = files
    other = Authority(tmp_path).issue("other")
    locked = tmp_path / "locked.key"
    locked.write_bytes(private_pem(ec.generate_private_key(ec.SECP256R1()), "x"))
    for flags, fragment in (
        ({"mysql_ssl_mode": "on"}, "--mysql-ssl-mode should be one of DISABLED, PREFERRED"),
        ({"mysql_ssl_ca": "/nowhere"}, "--mysql-ssl-ca: there is no file /nowhere"),
        ({"mysql_ssl_ca": str(client.key)}, "is not a certificate (PEM)"),
        ({"mysql_ssl_capath": "/nowhere"}, "--mysql-ssl-capath: there is no directory"),
        ({"mysql_ssl_capath": str(tmp_path)}, "has no certificate under the name of its hash"),
        ({"mysql_ssl_cert": str(client.cert)}, "--mysql-ssl-cert needs --mysql-ssl-key"),
        ({"mysql_ssl_key": str(client.key)}, "--mysql-ssl-key needs --mysql-ssl-cert"),
        ({"mysql_ssl_cert": str(client.cert), "mysql_ssl_key": str(other.key)}, "is not the key of the certificate"),
        ({"mysql_ssl_cert": str(client.cert), "mysql_ssl_key": str(locked)}, "is encrypted with a passphrase"),
        ({"mysql_ssl_ca": str(ca), "mysql_ssl_mode": "required"}, "--mysql-ssl-ca does nothing"),
        (
            {"mysql_ssl_cert": str(client.cert), "mysql_ssl_key": str(client.key), "mysql_ssl_mode": "disabled"},
            "--mysql-ssl-cert does nothing: the ssl-mode is DISABLED",
        ),
    ):
        assert fragment in refused(**flags).message


# ---- the unix socket


def test_a_socket_is_the_servers_identity() -> None:
    """The same server by TCP may be another one."""
    spec = loaded("mysql://reader:pw@/app?socket=%2Frun%2Fmy.sock")
    assert spec.identity()["mysql"] == "mysql://localhost/app?socket=/run/my.sock"
    stored = spec.stored()
    assert stored["mysql"] == "mysql://reader@localhost/app?socket=/run/my.sock"
    again = {"mysql": "mysql://reader:pw@localhost/app?socket=/run/my.sock", "state_dir": Path("/s")}
    assert load_stored(stored, again, {}) == spec
    with pytest.raises(SpecError, match=r"was started with mysql mysql://localhost/app\?socket=/run/my.sock, not"):
        load_stored(stored, again | {"mysql": "mysql://reader:pw@localhost/app"}, {})


# ---- the defaults file

ALL = ("user=filed", f"password={SECRET}", "host=db1", "port=3307", "database=filed")


@pytest.mark.parametrize(
    ("mysql", "lines", "url"),
    [
        (None, ALL, "mysql://filed:hunter2@db1:3307/filed"),
        ("mysql:///app", ALL, "mysql://filed:hunter2@db1:3307/app"),
        ("mysql://me@/app", ALL, "mysql://me:hunter2@db1:3307/app"),
        ("mysql://me:pw@db2:3308/app", ALL, "mysql://me:pw@db2:3308/app"),
        ("mysql://db2", ALL, "mysql://filed:hunter2@db2:3307/filed"),
        ("mysql:///app", ("user=filed",), "mysql://filed@localhost:3306/app"),
        ("mysql:///app", ("user=filed", "socket=/s"), "mysql://filed@localhost/app?socket=/s"),
        ("mysql:///app", ("user=filed", "socket=/s", "host=db1"), "mysql://filed@db1:3306/app"),
        ("mysql://localhost/app", ("user=filed", "socket=/s"), "mysql://filed@localhost:3306/app"),
        ("mysql:///app?socket=/t", ("user=filed", "socket=/s", "port=1", "host=db1"),
         "mysql://filed@localhost/app?socket=/t"),
    ],
)  # fmt: skip
def test_the_url_counts_before_the_file(tmp_path: Path, mysql: str | None, lines: list[str], url: str) -> None:
    """The file says what the URL leaves out."""
    found = loaded(mysql, mysql_defaults_file=my_cnf(tmp_path, *lines)).mysql
    assert found.with_password() == url
    assert SECRET not in f"{found} {found!r}"


def test_tls_in_the_file(files: tuple[Path, Pair], tmp_path: Path) -> None:
    """A flag counts before it; what a mode of the flags makes useless is left alone in the file, not in a flag."""
    ca, client = files
    pair = (f"ssl-cert={client.cert}", f"ssl-key={client.key}")
    file = {"mysql_defaults_file": my_cnf(tmp_path, f"ssl-ca={ca}", *pair)}
    assert loaded(**file).mysql.tls == SourceTls("VERIFY_CA", ca, None, client.cert, client.key)
    assert loaded(**file, mysql_ssl_mode="required").mysql.tls == SourceTls(
        "REQUIRED", cert=client.cert, key=client.key
    )
    assert loaded(**file, mysql_ssl_mode="disabled").mysql.tls == SourceTls("DISABLED")
    file = {"mysql_defaults_file": my_cnf(tmp_path, "ssl-mode=REQUIRED")}
    assert loaded(**file).mysql.tls == SourceTls("REQUIRED")
    assert "does nothing: the ssl-mode is REQUIRED" in refused(**file, mysql_ssl_ca=str(ca)).message
    file = {"mysql_defaults_file": my_cnf(tmp_path, "ssl-ca=/nowhere")}
    assert refused(**file).message == f"{tmp_path}/my.cnf: ssl-ca: there is no file /nowhere"


def test_the_file_is_stored_and_its_content_is_not(tmp_path: Path) -> None:
    """Resume reads user and password from it again, also changed ones; the server stays what it was."""
    file = my_cnf(tmp_path, *ALL)
    spec = loaded("mysql:///app", mysql_defaults_file=file)
    stored = spec.stored()
    assert stored["mysql"] == "mysql://db1:3307/app"
    assert stored["mysql_defaults_file"] == file
    assert stored["passwords"] == {"mysql": False, "redis": False}
    assert SECRET not in str(stored)
    assert passwords_to_repeat(spec) == []
    assert load_stored(stored, {"state_dir": Path("/s")}, {}) == spec
    my_cnf(tmp_path, "user=new", "password=other", "host=db2")
    again = load_stored(stored, {"state_dir": Path("/s")}, {}).mysql
    assert again.with_password() == "mysql://new:other@db1:3307/app"


def test_a_file_in_place_of_a_password(tmp_path: Path) -> None:
    """A job whose URL had a password goes on with a file that has it; the user is still the URL's."""
    stored = loaded().stored()
    flags = {"mysql_defaults_file": my_cnf(tmp_path, *ALL), "state_dir": Path("/s")}
    assert load_stored(stored, flags, {}).mysql.with_password() == "mysql://reader:hunter2@db:3306/app"


@pytest.mark.parametrize(
    ("mysql", "lines", "message"),
    [
        (None, ("user=x",), "--mysql names no database, and neither does {}"),
        ("mysql://db", ("user=x",), "--mysql names no database, and neither does {}"),
        ("mysql:///app", (), "--mysql names no user, and neither does {}"),
        ("mysql:///app", (f"port={SECRET}",), "--mysql-defaults-file: {}: port is not a number from 1 to 65535"),
    ],
)
def test_what_neither_says(tmp_path: Path, mysql: str | None, lines: list[str], message: str) -> None:
    """The file is named."""
    file = my_cnf(tmp_path, *lines)
    assert refused(mysql, mysql_defaults_file=file).message == message.format(file)


def test_without_a_file_the_url_is_whole() -> None:
    """As ever."""
    for mysql, part in (("mysql:///app", "user"), ("mysql://u@/app", "host"), ("mysql://u@h", "database")):
        assert refused(mysql).message == f"--mysql names no {part}"
    assert refused(None).message == "--mysql is missing"


def test_a_file_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` works where no shell has read it: in a TOML file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    my_cnf(tmp_path, *ALL)
    assert loaded(None, mysql_defaults_file="~/my.cnf").mysql.host == "db1"
    assert "begins with a '~' of nobody" in refused(mysql_defaults_file="~nobody-at-all/my.cnf").message


def test_flags_without_a_spec(files: tuple[Path, Pair], tmp_path: Path) -> None:
    """As `doctor` has them: the same rules, and the flag's name in each error."""
    ca, _ = files
    flags = {"mysql_ssl_ca": str(ca), "mysql_defaults_file": my_cnf(tmp_path, *ALL), "mysql_ssl_mode": None}
    found = mysql_from_flags(None, flags)
    assert found == SourceUrl(
        "db1", 3307, "filed", SECRET, "filed", tls=SourceTls("VERIFY_CA", ca), from_file=frozenset(["user", "password"])
    )
    for mysql, more, fragment in (
        ("x", {}, "--mysql is not a URL"),
        ("mysql://u@h", {}, "--mysql names no database"),
        (URL, {"mysql_ssl_mode": "x"}, "--mysql-ssl-mode should be one of"),
        (URL, {"mysql_defaults_file": ""}, "--mysql-defaults-file is empty"),
        (
            URL,
            {"mysql_server_public_key_path": "/nowhere"},
            "--mysql-server-public-key-path: there is no file /nowhere",
        ),
    ):
        with pytest.raises(SpecError) as caught:
            mysql_from_flags(mysql, more)
        assert fragment in caught.value.message
