"""Every way to log in that the server has and PyMySQL speaks, with TLS and without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pymysql
import pytest

from shardload import source
from shardload.config.urls import PasswordRules, SourceTls, SourceUrl, SslMode
from shardload.errors import SourceDenied
from tests.harness import World

PASSWORD = "p@ss wörd"
# How a user is made who logs in so: MySQL's words, then MariaDB's.
PLUGINS = {
    "mysql_native_password": ("WITH mysql_native_password BY", "VIA mysql_native_password USING PASSWORD"),
    "caching_sha2_password": ("WITH caching_sha2_password BY", "VIA caching_sha2_password USING PASSWORD"),
    "sha256_password": ("WITH sha256_password BY", ""),
    "client_ed25519": ("", "VIA ed25519 USING PASSWORD"),
}


@pytest.fixture(params=PLUGINS)
def user(world: World, request: pytest.FixtureRequest) -> Iterator[SourceUrl]:
    """A new user of the server: nothing of its password is cached there."""
    of_mysql, of_mariadb = PLUGINS[request.param]
    is_mariadb = b"MariaDB" in world.execute("SELECT VERSION()")[0][0]
    if not (of_mariadb if is_mariadb else of_mysql):
        pytest.skip(f"{request.param} is of the other make")
    if request.param == "client_ed25519":
        with suppress(pymysql.MySQLError):  # it may be there already, or not belong to this build
            world.execute("INSTALL SONAME 'auth_ed25519'")
    words = f"{of_mariadb}('{PASSWORD}')" if is_mariadb else f"{of_mysql} '{PASSWORD}'"
    world.execute("DROP USER IF EXISTS plugged@'%'")
    try:
        world.execute(f"CREATE USER plugged@'%' IDENTIFIED {words}")
    except pymysql.MySQLError as error:
        pytest.skip(f"this server has no {request.param}: {error.args[1]}")
    world.execute(f"GRANT SELECT ON `{world.mysql.database}`.* TO plugged@'%'")
    yield replace(world.mysql, user="plugged", password=PASSWORD)
    world.execute("DROP USER plugged@'%'")


def has_tls(world: World) -> bool:
    """True if the server offers it."""
    connection = source.connect(world.mysql)
    told = source.tls_in_words(connection, SourceTls())
    source.abandon(connection)
    return bool(told)


@pytest.mark.parametrize("mode", ["PREFERRED", "REQUIRED", "DISABLED"])
def test_a_login(world: World, user: SourceUrl, mode: SslMode) -> None:
    """With TLS, and without it under the key that the server sends. A wrong password is an error of its own."""
    if mode == "REQUIRED" and not has_tls(world):
        pytest.skip("this server offers no TLS")
    url = replace(user, tls=SourceTls(mode), passwords=PasswordRules(any_public_key=True))
    connection = source.connect(url)
    assert bool(source.tls_in_words(connection, url.tls)) == (mode != "DISABLED" and has_tls(world))
    source.abandon(connection)
    with pytest.raises(SourceDenied, match=r"Access denied.*\[1045\]"):
        source.connect(replace(url, password="wrong"))
