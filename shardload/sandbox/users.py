"""Synthetic users: a table that is awkward on purpose, always the same for the same seed.

Ids have small gaps everywhere and a wide one now and then; there are NULLs, empty strings, unicode, quotes, control
characters and long texts; user names and e-mails are unique; amounts are decimals and dates are dates.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from shardload import source
from shardload.errors import SpecError
from shardload.source.connection import translated
from shardload.urls import SourceUrl

BLOCK_ROWS = 4000  # rows of one INSERT, and of one random state
_BLOCK_IDS = 5200  # ids they are drawn from: about every fourth id is missing
_WIDE_GAP_EVERY_BLOCKS = 8
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
    created_at DATETIME NOT NULL,
    UNIQUE KEY username (username),
    UNIQUE KEY email (email)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4
"""
_FIRST = (
    "ada", "alan", "barbara", "claude", "dennis", "edsger", "frances", "grace", "hedy", "ivan", "joan", "ken",
    "linus", "margaret", "niklaus", "ole", "peter", "radia", "sophie", "tim", "ursula", "vint", "wang", "xu", "yukihiro",
    "zuse",
)  # fmt: skip
_NAMES = (
    "Ada Lovelace", "Zoë Müller", "Jürgen Groß", "François L'Écuyer", "Łukasz Żółć", "Иван Петров", "山田 太郎", "김철수",
    "محمد علي", "Ωμέγα", "Conan O'Brien", 'Dwayne "The Rock"', "Back\\slash", "Emoji 🦉🌍", "  padded  ", "",
)  # fmt: skip
_COUNTRIES = ("DE", "FR", "JP", "BR", "US", "IN", "KE", "NO")
_BIOS = (
    "", "short", "two\r\nlines", "tab\tand nul \0 inside", "percent % and {brace}", "12345", "-9223372036854775808",
    "01", "long " * 40, "🦀" * 30, "very long " * 180,
)  # fmt: skip


def seed(url: SourceUrl, table: str, rows: int, random_seed: int, progress: Callable[[int], object]) -> None:
    """Create the table and fill it; `progress` is told the rows so far. SpecError if the table exists already."""
    connection = source.connect(url, autocommit=False)
    try:
        with translated(f"cannot seed table {table}"), connection.cursor() as cursor:
            cursor.execute(
                "SHOW TABLES LIKE %s", (table.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%"),)
            )
            if cursor.fetchone():
                raise SpecError(f"table {table} exists already", "drop it, or choose another --table")
            cursor.execute("SET SESSION unique_checks = 0, foreign_key_checks = 0")
            cursor.execute(_CREATE.format(table=source.quoted(table)))
            done = 0
            for statement, count in statements(connection, table, rows, random_seed):
                cursor.execute(statement)
                connection.commit()
                done += count
                progress(done)
            cursor.execute(f"ANALYZE TABLE {source.quoted(table)}")
    finally:
        connection.close()


def statements(connection: Any, table: str, rows: int, random_seed: int) -> Iterator[tuple[str, int]]:
    """INSERT statements for that many users, and the rows of each."""
    literal = connection.escape
    names, bios = [literal(name) for name in _NAMES], [literal(bio) for bio in _BIOS]
    countries = [literal(country) for country in _COUNTRIES]
    head = f"INSERT INTO {source.quoted(table)} VALUES "  # noqa: S608 (quoted; every literal is escaped)
    base = 1
    for block, start in enumerate(range(0, rows, BLOCK_ROWS)):
        count = min(BLOCK_ROWS, rows - start)
        rng = random.Random(f"{random_seed}/{block}")
        if block and block % _WIDE_GAP_EVERY_BLOCKS == 0:
            base += _WIDE_GAP_IDS
        ids = sorted(rng.sample(range(base, base + _BLOCK_IDS), count))
        base += _BLOCK_IDS
        yield head + ",".join([_row(number, rng.getrandbits(64), names, bios, countries) for number in ids]), count


def _row(number: int, bits: int, names: list[str], bios: list[str], countries: list[str]) -> str:
    """One user's values; every choice is a slice of the random bits."""
    user = f"{_FIRST[bits % len(_FIRST)]}.{number}"
    name = "NULL" if bits & 0x700 == 0 else names[bits >> 11 & 15]
    country = "NULL" if bits & 0x18000 == 0 else countries[bits >> 17 & 7]
    wish = bits >> 20 & 63  # most have a short text or none
    bio = bios[wish] if wish < len(bios) else "NULL" if wish < 40 else "'member'"
    cents = (bits >> 26 & 0xFFFFFF) - 0x200000
    return (
        f"({number},'{user}','{user}@example.org',{name},{country},{cents / 100:.2f},{bio},"
        f"'20{bits >> 50 & 15:02d}-{(bits >> 54 & 7) + 1:02d}-{(bits >> 57 & 15) + 1:02d} "
        f"{bits >> 50 & 15:02d}:{bits >> 54 & 31:02d}:{bits >> 59 & 31:02d}')"
    )
