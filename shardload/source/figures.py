"""Measures MySQL: status variables, and how far a replica is behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymysql.connections import Connection

from shardload.config.urls import SourceUrl
from shardload.errors import SourceDenied, SourceError, SourceLost
from shardload.source.connection import abandon, connect, translated

_ANSWER_WITHIN_S = 5
_LAGS = ("Seconds_Behind_Source", "Seconds_Behind_Master")


class SourceGauge:
    """A connection that measures one server. It connects again after an error."""

    def __init__(self, url: SourceUrl) -> None:
        self._url = url
        self._connection: Connection[Any] | None = None

    def status(self, names: Sequence[str]) -> dict[str, str]:
        """These status variables, spelled as here, of which several may be the same one for MySQL; those that the
        server does not have are missing. SourceError if it cannot be asked."""
        marks = ", ".join(["%s"] * len(names))
        rows = self._ask(f"SHOW GLOBAL STATUS WHERE Variable_name IN ({marks})", list(names))
        found = {str(row["Variable_name"]).lower(): str(row["Value"]) for row in rows}
        return {name: found[name.lower()] for name in names if name.lower() in found}

    def lag_ms(self) -> int | None:
        """How far the replica is behind; None if it does not replicate. SourceError if it cannot be asked, or is no
        replica."""
        try:
            rows = self._ask("SHOW REPLICA STATUS")
        except SourceError as error:
            if isinstance(error, (SourceLost, SourceDenied)):
                raise
            rows = self._ask("SHOW SLAVE STATUS")  # before MySQL 8.0.22 and MariaDB 10.5
        if not rows:
            raise SourceError(f"{self._url} is not a replica", "name one in --replica")
        lags = [row[name] for row in rows for name in _LAGS if name in row]
        return None if None in lags or not lags else 1000 * max(int(lag) for lag in lags)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            abandon(self._connection)
            self._connection = None

    def _ask(self, sql: str, values: Sequence[str] = ()) -> list[dict[str, Any]]:
        try:
            if self._connection is None:
                self._connection = connect(self._url, timeout_s=_ANSWER_WITHIN_S)
            with translated(f"measuring {self._url}"), self._connection.cursor() as cursor:
                cursor.execute(sql, values or None)
                rows = cursor.fetchall()
                names = [item[0] for item in cursor.description]
            return [dict(zip(names, map(_as_text, row), strict=True)) for row in rows]
        except SourceError:
            self.close()
            raise


def _as_text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
