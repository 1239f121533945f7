"""What a job reads: a table, a view or a query, by which key it is split, and the SELECT of one range of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shardload.model.columns import KeyColumn, Kind, Reading
from shardload.model.keys import Key, KeyRange, shown_key
from shardload.model.wording import counted
from shardload.source.keys import condition, quoted
from shardload.source.session import NO_LIMIT

_UTC = "'+00:00'"
_MOST_MS = 253402300799000  # the end of the year 9999: who writes a larger number means "never"
_LEAST_MS = 10**11  # a Unix time above this is in milliseconds: in seconds it would be the year 5138


@dataclass(frozen=True)
class Selection:
    """The rows of a job, without those that no key can tell apart.

    - `name` is for messages; `relation` is the SQL behind FROM; `kinds` has what every column holds.
    - `key`: the columns by which it is split, in the order of `index`, which is empty if nothing may be said of it;
      none if it cannot be split. `is_unique`: no two rows have the same key.
    - `where`: a condition that rows have to meet; empty: none. `time_zone`: in which TIMESTAMPs are read; empty: UTC.
    """

    name: str
    relation: str
    kinds: dict[str, Kind]
    key: tuple[KeyColumn, ...] = ()
    index: str = ""
    is_unique: bool = False
    where: str = ""
    time_zone: str = ""

    @property
    def key_names(self) -> tuple[str, ...]:
        """The names of the key's columns."""
        return tuple(column.name for column in self.key)

    @property
    def has_integer_key(self) -> bool:
        """True if the key is one integer, and not NULL: then its values can be counted without MySQL."""
        return len(self.key) == 1 and self.key[0].kind is Kind.INTEGER and not self.key[0].is_nullable

    def most_rows(self, keys: KeyRange) -> int | None:
        """How many rows there can be in a range at most; None if nothing bounds it."""
        return keys.span_keys if self.has_integer_key and self.is_unique else None

    def shown(self, keys: KeyRange, first: Key | None, rows: int) -> str:
        """The rows of a range that cannot be cut, for people: `id=7` if it is one, else how many there are where."""
        if rows == 1 and first is not None:
            values = (shown_key((value,)) for value in first)
            return ", ".join(f"{name}={value}" for name, value in zip(self.key_names, values, strict=True))
        where = f"{', '.join(self.key_names)} in {keys}" if self.key else "all of it"
        return f"{counted(rows, 'row')} of {self.name} ({where})"

    def source_sql(self, hint: str = "FORCE") -> str:
        """What stands behind FROM, with the index named as `hint` says."""
        return f"{self.relation} {hint} INDEX ({quoted(self.index)})" if self.index else self.relation

    def where_sql(self, keys: KeyRange, *, filtered: bool = True) -> str:
        """The condition of a range; unless `filtered` is false, with the job's own."""
        own = f" AND ({self.where}\n)" if self.where and filtered else ""
        return f"({condition(self.key, keys)}){own}"

    def head(self, columns: Sequence[str], readings: Sequence[Reading], more: Sequence[str] = ()) -> str:
        """The beginning of every range's SELECT; `more` are expressions behind the columns."""
        read = [self._read(name, reading) for name, reading in zip(columns, readings, strict=True)]
        listed = ", ".join([*read, *more])
        return f"SELECT {listed} FROM {self.source_sql()} WHERE "

    def select(self, head: str, keys: KeyRange, most_rows: int = NO_LIMIT, *, ordered: bool = False) -> str:
        """The SELECT of one range, or of `most_rows` of it; `ordered`: in the order of the keys. The LIMIT overrides
        `sql_select_limit`, which could cut the result short."""
        order = f" ORDER BY {', '.join(map(quoted, self.key_names))}" if ordered and self.key else ""
        return f"{head}{self.where_sql(keys)}{order} LIMIT {most_rows}"

    def _read(self, name: str, reading: Reading) -> str:
        sql, kind = quoted(name), self.kinds.get(name)
        if reading is Reading.PLAIN:
            return self._in_time_zone(sql) if kind is Kind.TIMESTAMP and self.time_zone else sql
        if reading is Reading.EXPIRY_MS:
            return self._expiry_ms(sql, kind)
        forms = {
            Reading.NUMBER: "{} + 0",
            Reading.DOUBLE: "{} + 0e0",
            Reading.LOWER: "LOWER({})",
            Reading.UPPER: "UPPER({})",
        }
        return forms[reading].format(sql)

    def _in_time_zone(self, sql: str) -> str:
        """A TIMESTAMP in the job's time zone. The session stays in UTC: in others, an hour of autumn comes twice, and a
        key's bounds would be ambiguous. A zero date belongs to no time zone."""
        return f"IFNULL(CONVERT_TZ({sql}, {_UTC}, {_text(self.time_zone)}), {sql})"

    def _expiry_ms(self, sql: str, kind: Kind | None) -> str:
        if kind in (Kind.INTEGER, Kind.DECIMAL, Kind.DOUBLE, Kind.FLOAT):
            return f"LEAST(IF({sql} > {_LEAST_MS}, {sql}, {sql} * 1000), {_MOST_MS})"
        if kind is not Kind.TIMESTAMP and self.time_zone:
            sql = f"CONVERT_TZ({sql}, {_text(self.time_zone)}, {_UTC})"
        return f"TIMESTAMPDIFF(MICROSECOND, '1970-01-01', {sql}) DIV 1000"


def _text(text: str) -> str:
    """A text as an SQL literal, whatever is in it."""
    return f"_utf8mb4 x'{text.encode().hex()}'"
