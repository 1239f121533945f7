"""Make a table of synthetic users with awkward values. The same seed gives the same table.

Ids have many small gaps and a few wide ones. Values include NULLs, empty strings, Unicode, quotes, control characters,
long texts, decimals and dates. User names and e-mails are unique.

The server computes the values from the row's number and checksums of it, which is faster than parsing literals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from shardload import source
from shardload.config import environment
from shardload.config.urls import MYSQL_FORM, SourceUrl, parse_mysql
from shardload.errors import SpecError
from shardload.model.orders import STOP_SIGNALS
from shardload.process import stop_by_exception
from shardload.reporting.terminal import counting_bar
from shardload.source.connection import translated

BLOCK_ROWS = 10_000  # rows of one INSERT
_WRITERS = 2
_INDEX_S = 3600  # time-out for adding the indexes: 20 million rows may take over a minute
_WIDE_GAP_EVERY_ROWS = 32_000
_WIDE_GAP_IDS = 1_000_000

_CREATE = """
CREATE TABLE {table} (
    id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    username VARCHAR(64) NOT NULL,
    email VARCHAR(96) NOT NULL,
    full_name VARCHAR(96) NULL,
    country CHAR(2) NULL,
    balance DECIMAL(12, 2) NOT NULL,
    bio TEXT NULL,
    created_at DATETIME NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4
"""
_EXISTS = "SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = {name}"
_INDEX = "ALTER TABLE {table} ADD UNIQUE (username), ADD UNIQUE (email)"  # after the rows: sorting is faster
_FIRST = (
    "ada", "alan", "barbara", "claude", "dennis", "edsger", "frances", "grace", "hedy", "ivan", "joan", "ken",
    "linus", "margaret", "niklaus", "ole", "peter", "radia", "sophie", "tim", "ursula", "vint", "wang", "xu",
    "yukihiro", "zuse",
)  # fmt: skip
_NAMES = (
    "Ada Lovelace", "Zoë Müller", "Jürgen Groß", "François L'Écuyer", "Łukasz Żółć", "Иван Петров", "山田 太郎",
    "김철수", "محمد علي", "Ωμέγα", "Conan O'Brien", 'Dwayne "The Rock"', "Back\\slash", "Emoji 🦉🌍", "  padded  ", "",
)  # fmt: skip
_COUNTRIES = ("DE", "FR", "JP", "BR", "US", "IN", "KE", "NO")
_BIOS = (
    "", "short", "two\r\nlines", "tab\tand nul \0 inside", "percent % and {brace}", "12345", "-9223372036854775808",
    "01", "long " * 40, "🦀" * 30, "very long " * 180,
)  # fmt: skip


_DIGIT = "(SELECT 0 d" + "".join(f" UNION ALL SELECT {digit}" for digit in range(1, 10)) + ")"


def seed(url: SourceUrl, table: str, rows: int, random_seed: int, progress: Callable[[int], object]) -> None:
    """Create and fill the table. `progress` is called with the number of rows so far. SpecError if the table exists."""
    connections = [source.connect(url, timeout_s=_INDEX_S) for _ in range(_WRITERS)]
    idle = connections.copy()  # one per thread; pop and append are atomic

    def insert(block: tuple[str, int]) -> int:
        connection = idle.pop()
        try:
            _execute(connection, table, block[0])
        finally:
            idle.append(connection)
        return block[1]

    try:
        if _execute(connections[0], table, _EXISTS.format(name=connections[0].escape(table))):
            raise SpecError(f"table {table} exists already", "drop it, or choose another --table")
        _execute(connections[0], table, _CREATE.format(table=source.quoted(table)))
        blocks = list(statements(connections[0], table, rows, random_seed))
        with ThreadPoolExecutor(_WRITERS) as pool:
            try:
                done = 0
                for count in pool.map(insert, blocks):
                    done += count
                    progress(done)
            finally:
                pool.shutdown(cancel_futures=True)
        _execute(connections[0], table, _INDEX.format(table=source.quoted(table)))
        _execute(connections[0], table, f"ANALYZE TABLE {source.quoted(table)}")
    finally:
        for connection in connections:
            source.abandon(connection)


def seed_named(mysql: str | None, table: str, rows: int, random_seed: int) -> SourceUrl:
    """Make the table in the database that the URL `mysql`, or the environment, names. Gives the URL. SpecError if there
    is none, or if the table exists."""
    text = mysql or environment.url_from_environment("mysql")
    if not text:
        raise SpecError("--mysql is missing", f"give --mysql {MYSQL_FORM} or {environment.MYSQL_VARIABLE}")
    try:
        url = parse_mysql(text)
    except ValueError as error:
        raise SpecError(f"--mysql {error}") from None
    with stop_by_exception(STOP_SIGNALS):
        seed_with_bar(url, table, rows, random_seed)
    return url


def seed_with_bar(url: SourceUrl, table: str, rows: int, random_seed: int) -> None:
    """Do what `seed` does, with a progress bar if standard error is a terminal."""
    with counting_bar(rows, " rows") as show:
        seed(url, table, rows, random_seed, show)


def _execute(connection: Any, table: str, sql: str) -> int:
    with translated(f"cannot seed table {table}"), connection.cursor() as cursor:
        return int(cursor.execute(sql))


def statements(connection: Any, table: str, rows: int, random_seed: int) -> Iterator[tuple[str, int]]:
    """INSERT statements for so many users. Gives pairs of a statement and its number of rows."""

    def one_of(values: tuple[str, ...], number: str) -> str:
        return f"ELT(1 + ({number}) % {len(values)}, {', '.join(map(connection.escape, values))})"

    # n is the user's number from 0; a and b are two checksums of it, which choose its values.
    user = f"CONCAT({one_of(_FIRST, 'a')}, '.', n)"
    values = [
        f"1 + 2 * n + (a & 1) + (n DIV {_WIDE_GAP_EVERY_ROWS}) * {_WIDE_GAP_IDS}",
        user,
        f"CONCAT({user}, '@example.org')",
        f"IF(a & 0x700 = 0, NULL, {one_of(_NAMES, 'a >> 11')})",
        f"IF(a & 0x70000 = 0, NULL, {one_of(_COUNTRIES, 'a >> 19')})",
        "(CAST(b AS SIGNED) - 1000000000) / 100",
        f"CASE WHEN b & 0x7 = 0 THEN {one_of(_BIOS, 'b >> 3')} WHEN b & 0x8 THEN NULL ELSE 'member' END",
        "'2010-01-01' + INTERVAL (b & 0x1FFFFFFF) SECOND",
    ]
    for start in range(0, rows, BLOCK_ROWS):
        count = min(BLOCK_ROWS, rows - start)
        number = f"{start} + w.d * 1000 + x.d * 100 + y.d * 10 + z.d"
        digits = ", ".join(f"{_DIGIT} {name}" for name in "wxyz")
        yield (
            (
                f"INSERT INTO {source.quoted(table)} SELECT {', '.join(values)} FROM "
                f"(SELECT n, CRC32(CONCAT(n, '/{random_seed}')) a, CRC32(CONCAT(n, '-{random_seed}')) b FROM "
                f"(SELECT {number} n FROM {digits}) numbers ORDER BY n LIMIT {count}) checked"
            ),
            count,
        )
