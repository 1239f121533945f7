"""MySQL: the exact bytes of rows, complete results, descriptions of tables, and the planner's questions."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from shardload import source
from shardload.config.urls import SourceUrl
from shardload.encoding.packets import split_rows
from shardload.errors import SourceDenied, SourceLost, SpecError
from shardload.model.columns import Reading
from shardload.model.keys import KeyRange, integer_range
from shardload.ranges.split import split
from shardload.sandbox.servers import MysqlServer
from shardload.source.stream import INTERNALS
from tests.harness import World

Row = list[bytes | None]


@pytest.fixture
def connection(world: World) -> Iterator[Any]:
    """A connection to the tests' database."""
    connection = source.connect(world.mysql)
    yield connection
    source.abandon(connection)


def begun(stream: source.RangeStream, sql: str) -> int:
    """A stream that has sent a query and read the answer's head."""
    stream.send_query(sql)
    return stream.read_head()


def streamed(connection: Any, sql: str, columns: int) -> list[Row]:
    """All rows of a query, as raw values, read up to the end packet."""
    stream = source.RangeStream(connection)
    sequence, rows = begun(stream, sql), []
    while True:
        found = split_rows(bytes(stream.read()), columns, sequence)
        stream.consume(found.consumed_bytes)
        if found.error_packet is not None:
            source.raise_error_packet("reading a range", found.error_packet)
        rows += found.rows
        sequence = found.sequence
        if found.ended:
            return rows


# ---- bytes

VALUES = [
    ("VARCHAR(40)", "'a\\r\\nb\\0c\\td'", b"a\r\nb\0c\td"),
    ("VARCHAR(40)", "''", b""),
    ("VARCHAR(40)", "NULL", None),
    ("VARCHAR(40)", "'  padded  '", b"  padded  "),
    ("VARCHAR(40)", "'quotes '' \" ` \\\\ and %s {brace}'", b"quotes ' \" ` \\ and %s {brace}"),
    ("TEXT", "'Zoë 山田 🦉🌍'", "Zoë 山田 🦉🌍".encode()),
    ("VARCHAR(40) CHARACTER SET latin1", "'Groß'", "Groß".encode()),
    ("CHAR(5)", "'ab'", b"ab"),
    ("BLOB", "x'00ff0d0afe2a24'", b"\x00\xff\r\n\xfe*$"),
    ("BLOB", "x''", b""),
    ("BINARY(4)", "'ab'", b"ab\0\0"),
    ("VARBINARY(4)", "x'ff00'", b"\xff\x00"),
    ("BIT(1)", "b'1'", b"\x01"),
    ("BIT(12)", "b'100000000001'", b"\x08\x01"),
    ("BIT(64)", "~0", b"\xff" * 8),
    ("DECIMAL(30,10)", "12345678901234567890.0123456789", b"12345678901234567890.0123456789"),
    ("DECIMAL(12,2)", "-0.5", b"-0.50"),
    ("BIGINT UNSIGNED", "18446744073709551615", b"18446744073709551615"),
    ("BIGINT", "-9223372036854775808", b"-9223372036854775808"),
    ("INT(8) ZEROFILL", "42", b"00000042"),
    ("TINYINT(1)", "1", b"1"),
    ("DOUBLE", "0.1", b"0.1"),
    ("JSON", """'{"a": [1, null, "ü"]}'""", '{"a": [1, null, "ü"]}'.encode()),
    ("DATE", "'0000-00-00'", b"0000-00-00"),
    ("DATETIME", "'0000-00-00 00:00:00'", b"0000-00-00 00:00:00"),
    ("DATETIME(6)", "'2024-02-29 23:59:59.123456'", b"2024-02-29 23:59:59.123456"),
    ("TIMESTAMP NULL", "'2024-03-31 02:30:00'", b"2024-03-31 02:30:00"),
    ("TIME", "'-838:59:59'", b"-838:59:59"),
    ("TIME(3)", "'838:59:58.999'", b"838:59:58.999"),
    ("YEAR", "1999", b"1999"),
    ("ENUM('a','é')", "'é'", "é".encode()),
    ("SET('x','y','z')", "'x,z'", b"x,z"),
]


def whole(connection: Any, table: str) -> source.Selection:
    """All of a table, split by its key."""
    return source.choose_key(source.describe(connection, table), None).selection


def select_sql(connection: Any, table: str, columns: list[str], keys: KeyRange) -> str:
    """The SELECT of one range of a table, by its key. It is asked on another connection's time: none is open here."""
    selection = whole(connection, table)
    return selection.select(selection.head(columns, [Reading.PLAIN] * len(columns)), keys)


def test_every_type_as_the_server_writes_it(world: World, connection: Any) -> None:
    """Each type arrives as the bytes that the server writes in the text protocol. The session has UTC and utf8mb4."""
    columns = ", ".join(f"c{number} {type_}" for number, (type_, _, _) in enumerate(VALUES))
    world.make_table("types", f"id INT PRIMARY KEY, {columns}")
    world.execute(
        "SET sql_mode = ''", f"INSERT INTO types VALUES (1, {', '.join(literal for _, literal, _ in VALUES)})"
    )
    names = [f"c{number}" for number in range(len(VALUES))]
    (row,) = streamed(connection, select_sql(connection, "types", names, integer_range(1, 2)), len(names))
    shown = {(type_, literal): value for (type_, literal, _), value in zip(VALUES, row, strict=True)}
    assert shown == {(type_, literal): expected for type_, literal, expected in VALUES}


def test_a_range_has_its_lower_end_and_not_its_upper(world: World, connection: Any) -> None:
    """Ranges are half-open, also at the smallest and largest signed and unsigned keys."""
    world.make_table("ends", "id BIGINT UNSIGNED PRIMARY KEY")
    world.execute("INSERT INTO ends VALUES (0), (1), (2), (3), (18446744073709551614), (18446744073709551615)")

    def ids(low: int, high: int) -> list[int]:
        rows = streamed(connection, select_sql(connection, "ends", ["id"], integer_range(low, high)), 1)
        return [int(value or b"") for (value,) in rows]

    assert ids(1, 3) == [1, 2]
    assert ids(4, 100) == []
    assert ids(2**64 - 1, 2**64) == [2**64 - 1]
    assert ids(3, 2**64 - 1) == [3, 2**64 - 2]


def test_many_ranges_on_one_connection(world: World, connection: Any) -> None:
    """One connection reads many ranges in turn, also empty ones, with other queries between them."""
    world.make_table("many", "id INT PRIMARY KEY, body VARCHAR(2000)")
    world.execute("INSERT INTO many VALUES " + ", ".join(f"({n}, REPEAT('x', {n}))" for n in range(1, 1500)))
    stream = source.RangeStream(connection)
    for low in (1, 5000, 700, 1, 1499):
        sequence, seen, ended = (
            begun(stream, select_sql(connection, "many", ["id", "body"], integer_range(low, 5000 + low))),
            0,
            False,
        )
        while not ended:
            found = split_rows(bytes(stream.read()), 2, sequence)
            stream.consume(found.consumed_bytes)
            sequence, ended = found.sequence, found.ended
            assert all(row[1] == b"x" * int(row[0] or b"") for row in found.rows)
            seen += len(found.rows)
        assert seen == max(0, 1500 - low)


def test_other_columns_on_the_same_connection(world: World, connection: Any) -> None:
    """An answer's head is recognised only if it equals the last one; a longer or shorter head is read anew."""
    world.make_table("heads", "id INT PRIMARY KEY, a VARCHAR(9), b VARCHAR(9)")
    world.execute("INSERT INTO heads VALUES (1, 'x', 'y')")
    stream = source.RangeStream(connection)
    values = {"id": b"1", "a": b"x", "b": b"y"}
    for names in (["id", "a"], ["id", "a"], ["a", "id"], ["id"], ["id", "a", "b"], ["id", "b"], ["id", "a"], ["id"]):
        sequence = begun(stream, select_sql(connection, "heads", names, integer_range(0, 9)))
        found = split_rows(bytes(stream.read()), len(names), sequence)
        stream.consume(found.consumed_bytes)
        assert (found.rows, found.ended) == ([[values[name] for name in names]], True)
    with pytest.raises(SpecError, match="doesn't exist"):
        begun(stream, "SELECT id FROM nowhere")


@pytest.mark.parametrize("mebibytes", [1, 17, 33])
def test_large_values_come_whole(world: World, connection: Any, mebibytes: int) -> None:
    """A row above 16 MiB has several packets; its value arrives complete, and so does the small row after it."""
    pattern = b"\xfe\xff\x00\r\n$*"
    count = mebibytes * 2**20 // len(pattern) + 1
    world.make_table("large", "id INT PRIMARY KEY, body LONGBLOB, tail VARCHAR(10)")
    large = f"REPEAT(x'{pattern.hex()}', {count})"
    world.execute(f"INSERT INTO large VALUES (1, {large}, 'one'), (2, 'small', NULL), (3, '', 'three')")
    rows = streamed(connection, select_sql(connection, "large", ["body", "tail"], integer_range(1, 4)), 2)
    assert rows[0][0] == pattern * count
    assert rows[0][1:] == [b"one"]
    assert rows[1:] == [[b"small", None], [b"", b"three"]]


# ---- the end of a result


@pytest.fixture
def big(world: World) -> str:
    """A table of about 40 MB, which fits into no buffer on the way."""
    world.make_table("big", "id INT PRIMARY KEY, body MEDIUMTEXT")
    for block in range(4):
        values = ", ".join(f"({block * 1000 + n}, REPEAT('x', 10000))" for n in range(1000))
        world.execute(f"INSERT INTO big VALUES {values}")
    return "big"


@pytest.mark.parametrize("how", ["KILL", "KILL QUERY"])
def test_a_connection_killed_in_the_middle_is_lost(world: World, connection: Any, big: str, how: str) -> None:
    """A result without an end packet raises SourceLost; it never counts as complete."""
    number = connection.thread_id()
    stream = source.RangeStream(connection)
    rows = 0

    def read_all() -> None:
        nonlocal rows
        sequence = begun(stream, select_sql(connection, big, ["id", "body"], integer_range(0, 4000)))
        while True:
            found = split_rows(bytes(stream.read()), 2, sequence)
            stream.consume(found.consumed_bytes)
            if found.error_packet is not None:
                source.raise_error_packet("reading a range", found.error_packet)
            assert not found.ended
            if found.rows and not rows:
                world.execute(f"{how} {number}")
            sequence, rows = found.sequence, rows + len(found.rows)

    with pytest.raises(SourceLost, match="reading a range"):
        read_all()
    assert 0 < rows < 4000


def test_a_server_that_refuses_a_query(connection: Any) -> None:
    """A missing table is a SpecError, and the connection can be used again."""
    stream = source.RangeStream(connection)
    with pytest.raises(SpecError, match=r"reading a range: .*nowhere.* \[1146\]"):
        begun(stream, "SELECT 1 FROM nowhere")
    assert streamed(connection, "SELECT 1", 1) == [[b"1"]]


@pytest.mark.parametrize(
    ("payload", "kind", "message"),
    [
        (b"\xff\x25\x05#70100Query execution was interrupted", SourceLost, "r: Query execution was interrupted [1317]"),
        (b"\xff\xdd\x07gone", SourceLost, None),
        (b"\xff\x7a\x04#42S02no such table", SpecError, "r: no such table [1146]"),
        (b"\xff\x76\x04#42000SELECT command denied", SourceDenied, "r: SELECT command denied [1142]"),
    ],
)
def test_error_packets(payload: bytes, kind: type[Exception], message: str | None) -> None:
    """An error packet, with or without a state, becomes the error for its code."""
    if message is None:
        payload = b"\xff" + (2013).to_bytes(2, "little") + b"gone"
        message = "r: gone [2013]"
    with pytest.raises(kind) as caught:
        source.raise_error_packet("r", payload)
    assert getattr(caught.value, "message", None) == message


def test_what_is_used_of_pymysqls_inside_exists(connection: Any) -> None:
    """If a new pymysql lacks a private attribute that is used, this test fails, and not an import."""
    for name in INTERNALS:
        assert hasattr(connection, name), name
    assert hasattr(connection._sock, "recv_into")


class _TlsServer(MysqlServer):
    """A server with a self-signed certificate, such as MySQL makes at its first start."""

    def _command(self) -> list[str]:
        return [*super()._command(), f"--ssl-cert={self.directory}/cert.pem", f"--ssl-key={self.directory}/key.pem"]


def _write_certificate(directory: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nobody")])
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - day).not_valid_after(now + day)
    pem = serialization.Encoding.PEM
    (directory / "cert.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(pem))
    (directory / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def test_tls_is_taken_where_the_server_offers_it(tmp_path: Path) -> None:
    """A user who must use TLS can log in, and rows arrive complete, also those of many TLS records."""
    _write_certificate(tmp_path)
    server = _TlsServer(tmp_path)
    server.start()
    try:
        admin = source.connect(server.url)
        with admin.cursor() as cursor:
            cursor.execute("CREATE USER careful@'%' IDENTIFIED BY 'x' REQUIRE SSL")
            cursor.execute("GRANT SELECT ON app.* TO careful@'%'")
        source.abandon(admin)
        connection = source.connect(replace(server.url, user="careful", password="x"))
        assert streamed(connection, "SHOW STATUS LIKE 'Ssl_cipher'", 2)[0][1]
        assert streamed(connection, "SELECT REPEAT('x', 300000), 7", 2) == [[b"x" * 300_000, b"7"]]
        source.abandon(connection)
    finally:
        server.stop()


def test_the_session_is_pinned(connection: Any) -> None:
    """The session has UTC, an empty sql_mode, utf8mb4, READ COMMITTED, and a long net_write_timeout."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT @@session.time_zone, @@session.sql_mode, @@session.character_set_results, "
            "@@session.net_write_timeout, @@session.character_set_client"
        )
        assert cursor.fetchone() == ("+00:00", "", "utf8mb4", 6 * 3600, "utf8mb4")
        cursor.execute("SHOW VARIABLES WHERE Variable_name IN ('tx_isolation', 'transaction_isolation')")
        assert {value for _, value in cursor.fetchall()} == {"READ-COMMITTED"}


# ---- tables


def test_describe(world: World, connection: Any) -> None:
    """The columns in order with their types, the primary key in its own order, and the other unique indexes."""
    world.make_table(
        "described",
        "b INT NOT NULL, a BIGINT UNSIGNED NOT NULL, `Name` VARCHAR(20) NOT NULL, x INT, y INT, "
        "PRIMARY KEY (a, b), UNIQUE KEY (`Name`), UNIQUE KEY xy (x, y), KEY (y)",
    )
    table = source.describe(connection, "described")
    assert table.column_names() == ("b", "a", "Name", "x", "y")
    assert table.columns[1].type.startswith("bigint")
    assert "unsigned" in table.columns[1].type
    assert table.primary_key == ("a", "b")
    indexes = {index.name: (index.columns, index.is_unique) for index in table.indexes}
    assert indexes == {
        "PRIMARY": (("a", "b"), True), "Name": (("Name",), True), "xy": (("x", "y"), True), "y": (("y",), False),
    }  # fmt: skip
    assert table.resolve_column("NAME", "--columns") == "Name"
    with pytest.raises(SpecError) as caught:
        table.resolve_column("nmae", "--columns")
    assert caught.value.message == "--columns: table described has no column 'nmae'"
    assert caught.value.hint == "it has: b, a, Name, x, y"


@pytest.mark.parametrize(
    ("columns", "identified"),
    [
        (["a", "b"], True), (["a", "b", "x"], True), (["a"], False), (["n"], True), (["x", "y"], True), (["x"], False),
        ([], False), (["p"], False), (["z", "p"], False),
    ],
)  # fmt: skip
def test_which_columns_identify_a_row(world: World, connection: Any, columns: list[str], identified: bool) -> None:
    """Columns identify a row if they include the primary key or a whole unique index; a prefix is not enough."""
    world.make_table(
        "uniques",
        "a INT, b INT, n INT NOT NULL, x INT NOT NULL, y INT NOT NULL, p VARCHAR(40) NOT NULL, z INT, "
        "PRIMARY KEY (a, b), UNIQUE (n), UNIQUE (x, y), UNIQUE (p(3))",
    )
    assert source.describe(connection, "uniques").identifies_row(columns) is identified


def test_a_column_beside_a_unique_prefix_does_not_identify_a_row(world: World, connection: Any) -> None:
    """UNIQUE (z, p(3)) allows many rows with the same z."""
    world.make_table("prefixed", "id INT PRIMARY KEY, z INT NOT NULL, p VARCHAR(40) NOT NULL, UNIQUE (z, p(3))")
    world.execute("INSERT INTO prefixed VALUES (1, 7, 'abc'), (2, 7, 'xyz')")
    assert not source.describe(connection, "prefixed").identifies_row(["z"])


@pytest.mark.parametrize(
    ("columns", "key", "index"),
    [
        ("id TINYINT PRIMARY KEY", ["id"], "PRIMARY"),
        ("x INT, `Key` MEDIUMINT UNSIGNED PRIMARY KEY", ["Key"], "PRIMARY"),
        ("a INT, b VARCHAR(9), PRIMARY KEY (b, a)", ["b", "a"], "PRIMARY"),
        ("a INT NOT NULL, b INT NOT NULL, c CHAR(3) NOT NULL, UNIQUE u (a, b), UNIQUE v (c)", ["c"], "v"),
        ("a INT NOT NULL, c CHAR(3) NOT NULL, UNIQUE u (a), UNIQUE v (c)", ["a"], "u"),
        ("a INT, b INT NOT NULL, c INT NOT NULL, UNIQUE u (a), UNIQUE v (b, c)", ["b", "c"], "v"),
        ("a INT, UNIQUE u (a)", ["a"], "u"),
        ("id VARCHAR(50) NOT NULL, PRIMARY KEY (id(10))", [], ""),
        ("id SET('a','b') PRIMARY KEY", [], ""),
        ("id INT, KEY (id)", [], ""),
        ("id INT", [], ""),
    ],
)
def test_by_which_key_a_table_is_split(world: World, connection: Any, columns: str, key: list[str], index: str) -> None:
    """Its primary key, whatever that is; else its best unique index; else it is read in one piece."""
    world.make_table("keyed", columns)
    chosen = source.choose_key(source.describe(connection, "keyed"), None)
    assert list(chosen.selection.key_names) == key
    assert chosen.selection.index == index
    assert bool(chosen.word) == (index != "PRIMARY")


@pytest.mark.parametrize(
    ("split_by", "index", "is_unique"),
    [
        (["a"], "ab", False),
        (["a", "b"], "ab", False),
        (["id"], "PRIMARY", True),
        (["u"], "u", True),
        (["c"], "c", False),
    ],
)
def test_split_by(world: World, connection: Any, split_by: list[str], index: str, is_unique: bool) -> None:
    """Any columns that an index begins with."""
    world.make_table(
        "chosen", "id INT PRIMARY KEY, a INT, b INT, c INT, u INT NOT NULL, KEY ab (a, b), KEY c (c), UNIQUE u (u)"
    )
    selection = source.choose_key(source.describe(connection, "chosen"), split_by).selection
    assert (list(selection.key_names), selection.index, selection.is_unique) == (split_by, index, is_unique)


@pytest.mark.parametrize(
    ("split_by", "message"),
    [
        (["b"], "no index of table chosen begins with b"),
        (["a", "a"], "names a column twice"),
        (["nothing"], "--split-by: table chosen has no column 'nothing'"),
        (["s"], "column s has no order"),
    ],
)
def test_by_what_a_table_cannot_be_split(world: World, connection: Any, split_by: list[str], message: str) -> None:
    """Each in one line that says what to do."""
    world.make_table("chosen", "id INT PRIMARY KEY, a INT, b INT, s SET('x'), KEY ab (a, b), KEY s (s)")
    with pytest.raises(SpecError, match=message) as caught:
        source.choose_key(source.describe(connection, "chosen"), split_by)
    assert caught.value.hint


def restricted(world: World, *grants: str) -> SourceUrl:
    """A user with these rights only; dropped after the test."""
    world.execute(
        "DROP USER IF EXISTS 'narrow'@'%'", "CREATE USER 'narrow'@'%' IDENTIFIED BY 'secret'",
        *[f"GRANT {grant} TO 'narrow'@'%'" for grant in grants],
    )  # fmt: skip
    return SourceUrl(world.mysql.host, world.mysql.port, "narrow", "secret", world.mysql.database)


def test_a_hidden_primary_key_is_asked_for(world: World) -> None:
    """MySQL tells of a key that the user may not read, MariaDB hides it; the right to ask for is told by both."""
    world.make_table("mine", "id INT PRIMARY KEY, name VARCHAR(10)")
    connection = source.connect(restricted(world, f"SELECT (name) ON `{world.mysql.database}`.mine"))
    try:
        if world.is_mariadb:
            told = source.choose_key(source.describe(connection, "mine"), None).word
            assert "no unique index in order that this user may read" in told
        else:
            with pytest.raises(SourceDenied, match="may not read its primary key id") as caught:
                source.describe(connection, "mine")
            told = caught.value.hint
        assert "GRANT SELECT" in told
    finally:
        source.abandon(connection)
        world.execute("DROP USER 'narrow'@'%'")


@pytest.mark.parametrize(
    ("grant", "refusal"),
    [
        ("SELECT ON `{db}`.other", "denied"),
        ("INSERT ON `{db}`.mine", "denied|may not read any"),
    ],
)  # fmt: skip
def test_missing_rights_are_refused(world: World, grant: str, refusal: str) -> None:
    """A missing right raises SourceDenied, which names the right to grant and contains no password."""
    world.make_table("mine", "id INT PRIMARY KEY, name VARCHAR(10), hidden INT")
    world.make_table("other", "id INT PRIMARY KEY")
    connection = source.connect(restricted(world, grant.format(db=world.mysql.database)))
    try:
        with pytest.raises(SourceDenied, match=refusal) as caught:
            source.describe(connection, "mine")
        assert "GRANT SELECT" in caught.value.hint
        assert "mine" in caught.value.message
        assert "secret" not in str(caught.value)
    finally:
        source.abandon(connection)
        world.execute("DROP USER 'narrow'@'%'")


def test_columns_without_a_right_are_not_seen(world: World) -> None:
    """The table of a user who may read some columns has only these; selecting another is denied."""
    world.make_table("mine", "id INT PRIMARY KEY, name VARCHAR(10), hidden INT")
    connection = source.connect(restricted(world, f"SELECT (id, name) ON `{world.mysql.database}`.mine"))
    try:
        assert source.describe(connection, "mine").column_names() == ("id", "name")
        source.check_readable(connection, "`mine`", ["id", "name"], "table mine")
        with pytest.raises(SourceDenied, match="hidden"):
            source.check_readable(connection, "`mine`", ["id", "hidden"], "table mine")
    finally:
        source.abandon(connection)
        world.execute("DROP USER 'narrow'@'%'")


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"password": "wrong-secret"}, SourceDenied, "Access denied"),
        ({"database": "nosuch"}, SpecError, "Unknown database"),
        ({"port": 1}, SourceLost, "refused"),
        ({"host": "host.invalid"}, SourceLost, "host.invalid"),
    ],
)
def test_connections_that_fail(world: World, change: dict[str, Any], kind: type[Exception], message: str) -> None:
    """Each failure has its own error, with the URL and without the password."""
    url = SourceUrl(**{**vars(world.mysql), **change})
    with pytest.raises(kind, match=message) as caught:
        source.connect(url)
    assert f"cannot connect to {url}" in str(caught.value)
    assert "secret" not in str(caught.value)


# ---- the planner's questions


@pytest.mark.parametrize(
    ("type_", "ids", "bounds"),
    [
        ("INT", [], None),
        ("INT", [5], integer_range(5, 6)),
        ("INT", [-7, -3], integer_range(-7, -2)),
        ("TINYINT", [-128, 127], integer_range(-128, 128)),
        ("BIGINT UNSIGNED", [0, 2**64 - 1], integer_range(0, 2**64)),
        ("BIGINT", [-(2**63), 2**63 - 1], integer_range(-(2**63), 2**63)),
        ("INT UNSIGNED ZEROFILL", [7, 42], integer_range(7, 43)),
    ],
)
def test_bounds(world: World, connection: Any, type_: str, ids: list[int], bounds: KeyRange | None) -> None:
    """From the smallest key to one past the largest; None for an empty table."""
    world.make_table("bounded", f"id {type_} PRIMARY KEY")
    if ids:
        world.execute(f"INSERT INTO bounded VALUES {', '.join(f'({number})' for number in ids)}")
    keys = source.TableKeys(connection, whole(connection, "bounded"))
    assert keys.roots() == ([] if bounds is None else [bounds])
    plan = split(keys, 50_000)
    assert [planned.keys for planned in plan] == ([] if bounds is None else [bounds])


def test_estimates(world: World, connection: Any) -> None:
    """One estimate for each range, in order. For even keys it is within a factor of three (InnoDB doubles some)."""
    world.make_table("even", "id INT PRIMARY KEY, body CHAR(100)")
    for block in range(10):
        world.execute("INSERT INTO even VALUES " + ", ".join(f"({10 * (block * 1000 + n)}, 'x')" for n in range(1000)))
    world.execute("ANALYZE TABLE even")
    keys = source.TableKeys(connection, whole(connection, "even"))
    assert 5_000 <= keys.table_rows() <= 20_000
    asked = [
        integer_range(0, 5_000),
        integer_range(200_000, 300_000),
        integer_range(50_000, 65_000),
        integer_range(-50, 200_000),
    ]
    few, none, more, everything = keys.estimated_rows(asked)
    assert 170 <= few <= 1500
    assert 500 <= more <= 4500
    assert none <= 1
    assert everything == keys.table_rows()


@pytest.mark.parametrize(("range_rows", "most"), [(50_000, 1), (300, 8), (50, 60)])
def test_a_stray_key_far_away_makes_few_ranges(world: World, connection: Any, range_rows: int, most: int) -> None:
    """Ids 1 to 1000 and one at 9 * 10**18 give few ranges."""
    world.make_table("stray", "id BIGINT PRIMARY KEY")
    world.execute("INSERT INTO stray VALUES (9000000000000000000), " + ", ".join(f"({n})" for n in range(1, 1001)))
    world.execute("ANALYZE TABLE stray")
    plan = split(source.TableKeys(connection, whole(connection, "stray")), range_rows)
    assert len(plan) <= most
    assert (plan[0].keys.low, plan[-1].keys.high) == ((1,), (9 * 10**18 + 1,))


class TooManyQuestions(Exception):
    """The planner does not stop asking."""


@pytest.mark.parametrize("range_rows", [1, 2, 3])
def test_three_rows_far_apart_are_planned(world: World, connection: Any, range_rows: int) -> None:
    """InnoDB estimates an empty range as one row, which is near half of so small a table; the planner must stop."""
    world.make_table("sparse", "id BIGINT PRIMARY KEY")
    world.execute("INSERT INTO sparse VALUES (1), (4000000000000000000), (9000000000000000000)", "ANALYZE TABLE sparse")
    keys = source.TableKeys(connection, whole(connection, "sparse"))
    asked = 0
    original = keys.estimated_rows

    def counted(ranges: Any) -> list[int]:
        nonlocal asked
        asked += len(ranges)
        if asked > 2000:
            raise TooManyQuestions
        return original(ranges)

    keys.estimated_rows = counted  # type: ignore[method-assign]  # counts the queries
    plan = split(keys, range_rows)
    assert (plan[0].keys.low, plan[-1].keys.high) == ((1,), (9 * 10**18 + 1,))


def test_odd_names_are_quoted(world: World, connection: Any) -> None:
    """Table and column names may have backquotes, spaces and percent signs."""
    name = "odd `% table"
    world.execute(f"DROP TABLE IF EXISTS {source.quoted(name)}")
    try:
        world.execute(
            f"CREATE TABLE {source.quoted(name)} (`i``d %s` INT PRIMARY KEY)",
            f"INSERT INTO {source.quoted(name)} VALUES (3)",
        )
        table = source.describe(connection, name)
        assert table.primary_key == ("i`d %s",)
        assert source.TableKeys(connection, whole(connection, name)).roots() == [integer_range(3, 4)]
        assert streamed(connection, select_sql(connection, name, ["i`d %s"], integer_range(0, 9)), 1) == [[b"3"]]
    finally:
        world.execute(f"DROP TABLE {source.quoted(name)}")
