"""The flags beside --redis: what they put into its URL, what is stored, and which are refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from shardload.config.addresses import Address
from shardload.config.reach import typed, with_reach
from shardload.config.spec import JobSpec, load, load_stored
from shardload.config.urls import TlsRules, parse_redis
from shardload.errors import SpecError
from tests.certificates import Authority, Pair, private_pem

FLAGS = {"mysql": "mysql://reader:pw@db/app", "redis": "rediss://cache", "table": "user", "job": "j"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Pair]:
    """An authority's certificate, and a client's with its key."""
    authority = Authority(tmp_path_factory.mktemp("files"))
    return authority.cert, authority.issue("client")


def loaded(**flags: Any) -> JobSpec:
    """A spec with these flags."""
    return load({**FLAGS, "state_dir": "/s", **flags}, None, {})


def refused(**flags: Any) -> SpecError:
    """The error that these flags raise: one line."""
    with pytest.raises(SpecError) as caught:
        loaded(**flags)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    return caught.value


def test_the_flags_are_in_the_url(files: tuple[Path, Pair]) -> None:
    """All of them; a URL with TLS alone has the rules that are safe."""
    ca, client = files
    assert loaded().redis.tls == TlsRules()
    spec = loaded(
        redis_cacert=str(ca), redis_cert=str(client.cert), redis_key=str(client.key), redis_sni="x.example",
        redis_insecure=True, redis_map="10.0.0.1:1=localhost:2,[::1]:3=h:4",
    )  # fmt: skip
    assert spec.redis.tls == TlsRules(ca, None, client.cert, client.key, "x.example", True)
    assert spec.redis.map == (
        (Address("10.0.0.1", 1), Address("localhost", 2)),
        (Address("::1", 3), Address("h", 4)),
    )


def test_they_are_stored(files: tuple[Path, Pair]) -> None:
    """Paths are absolute, and resume reads the files again; a flag of resume wins."""
    ca, client = files
    spec = loaded(redis_cacert=str(ca), redis_cert=str(client.cert), redis_key=str(client.key), redis_map="a:1=b:2")
    environ = {"SHARDLOAD_MYSQL_URL": FLAGS["mysql"]}
    stored = spec.stored()
    assert stored["redis_cacert"] == str(ca)
    assert stored["redis_map"] == ["a:1=b:2"]
    assert "PRIVATE KEY" not in str(stored)
    assert load_stored(stored, {"state_dir": Path("/s")}, environ) == spec
    again = load_stored(stored, {"state_dir": Path("/s"), "redis_sni": "other", "redis_map": "a:1=c:3"}, environ)
    assert again.redis.tls == TlsRules(ca, None, client.cert, client.key, "other")
    assert again.redis.map == ((Address("a", 1), Address("c", 3)),)


def test_they_are_no_identity(files: tuple[Path, Pair]) -> None:
    """A job may be resumed with other certificates; with TLS or without is another server."""
    ca, _ = files
    assert loaded(redis_cacert=str(ca)).identity() == loaded().identity()
    assert loaded(redis="redis://cache").identity() != loaded().identity()


def test_a_toml_file_says_the_same(files: tuple[Path, Pair], tmp_path: Path) -> None:
    """The map may be a list. An error names the file and its key."""
    ca, _ = files
    file = tmp_path / "job.toml"
    file.write_text(f'redis-cacert = "{ca}"\nredis-map = ["a:1=b:2", "c:1=d:2"]\nredis-insecure = true\n')
    spec = load({**FLAGS, "state_dir": "/s"}, file, {})
    assert spec == loaded(redis_cacert=str(ca), redis_map="a:1=b:2,c:1=d:2", redis_insecure=True)
    file.write_text('redis-cacert = "/no.crt"\n')
    with pytest.raises(SpecError, match=f"^{file}: redis-cacert: there is no file /no.crt"):
        load({**FLAGS, "state_dir": "/s"}, file, {})


def test_plan_needs_no_redis(files: tuple[Path, Pair]) -> None:
    """A flag about a Redis that is not named is not examined."""
    flags = {key: value for key, value in FLAGS.items() if key != "redis"}
    load({**flags, "state_dir": "/s", "redis_cacert": "/no.crt"}, None, {}, needs_redis=False)


@pytest.mark.parametrize(
    "flag", ["redis_cacert", "redis_cacertdir", "redis_cert", "redis_key", "redis_sni", "redis_insecure"]
)
@pytest.mark.parametrize("url", ["redis://cache", "unix:///r.sock", "redis+cluster://a,b"])
def test_a_flag_without_tls(flag: str, url: str) -> None:
    """Each is refused, with the flag's name and the URL to write."""
    error = refused(redis=url, **{flag: True if flag == "redis_insecure" else "x"})
    assert error.message.startswith(f"--{flag.replace('_', '-')} is about TLS")
    assert "rediss://" in error.hint


def test_files_that_cannot_be_used(files: tuple[Path, Pair], tmp_path: Path) -> None:
    """Each error names the flag, the file and what is wrong with it."""
    ca, client = files
    text, other, locked = tmp_path / "text", tmp_path / "other.key", tmp_path / "locked.key"
    text.write_text("hello")
    key = ec.generate_private_key(ec.SECP256R1())
    other.write_bytes(private_pem(key))
    locked.write_bytes(private_pem(key, "secret"))
    cert, own = str(client.cert), str(client.key)
    for flags, told in (
        ({"redis_cacert": str(text)}, f"--redis-cacert: {text} is not a certificate (PEM)"),
        ({"redis_cacert": own}, f"--redis-cacert: {own} is not a certificate (PEM)"),
        ({"redis_cacert": str(tmp_path)}, f"--redis-cacert: there is no file {tmp_path}"),
        ({"redis_cacertdir": str(ca)}, f"--redis-cacertdir: there is no directory {ca}"),
        ({"redis_cacertdir": str(tmp_path)}, f"{tmp_path} has no certificate under the name of its hash"),
        ({"redis_cert": str(tmp_path / "no"), "redis_key": own}, "--redis-cert: there is no file"),
        ({"redis_cert": cert, "redis_key": str(tmp_path / "no")}, "--redis-key: there is no file"),
        ({"redis_cert": str(text), "redis_key": own}, f"--redis-cert: {text} is not a certificate (PEM)"),
        ({"redis_cert": cert, "redis_key": str(text)}, f"--redis-key: {text} is not a private key (PEM)"),
        ({"redis_cert": cert, "redis_key": str(other)}, f"--redis-key: {other} is not the key of the certificate"),
        ({"redis_cert": cert, "redis_key": str(locked)}, f"--redis-key: {locked} is encrypted with a passphrase"),
        ({"redis_cert": cert}, "--redis-cert needs --redis-key"),
        ({"redis_key": own}, "--redis-key needs --redis-cert"),
        ({"redis_sni": ""}, "--redis-sni"),
        ({"redis_map": "a:1"}, "--redis-map should be addresses such as"),
    ):
        assert told in refused(**flags).message, flags


def test_the_flags_of_doctor(files: tuple[Path, Pair]) -> None:
    """It has no spec; the same values give the same URL."""
    ca, client = files
    flags = {
        "redis_cacert": str(ca), "redis_cert": str(client.cert), "redis_key": str(client.key), "redis_sni": None,
        "redis_map": "a:1=b:2", "redis_insecure": None,
    }  # fmt: skip
    assert with_reach(parse_redis("rediss://cache"), typed(flags), {}) == loaded(**flags).redis
    with pytest.raises(ValueError, match="--redis-map should be"):
        typed({"redis_map": "a:1"})
