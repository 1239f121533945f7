"""Several machines on one job: how they are reached, and from where they read. `JobSpec` has these settings."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, model_validator

from shardload.config.guards import Replicas
from shardload.config.values import BrokenRule

DEFAULT_LAG_MS = 2000
_SCHEDULER = re.compile(r"(tcp|tls)://(\[[0-9A-Fa-f:.%]+\]|[^\s/:@]+):(\d{1,5})/?")


def read_scheduler(value: object) -> object:
    """A scheduler's URL, or None for `off`. ValueError if it is none."""
    if value in ("off", False, None):
        return None
    if not isinstance(value, str) or not (match := _SCHEDULER.fullmatch(value)) or not 0 < int(match[3]) < 65536:
        raise ValueError("should be like tcp://scheduler:8786 or tls://scheduler:8786")
    return value.rstrip("/")


class FleetSpec(BaseModel):
    """The fleet. Frozen; it is no part of a job's identity: a resume may have another one, or none."""

    fleet: Annotated[str | None, BeforeValidator(read_scheduler)] = None
    mysql_read: Replicas = ()

    @property
    def is_private(self) -> bool:
        """True if what is sent to the fleet is encrypted, so that passwords may be sent."""
        return self.fleet is not None and self.fleet.startswith("tls://")

    @model_validator(mode="after")
    def _reads_need_a_fleet(self) -> FleetSpec:
        """ValueError (BrokenRule) if there are servers to read from, and nobody to do so."""
        if self.mysql_read and self.fleet is None:
            raise BrokenRule("mysql_read", "needs --fleet URL: its machines read from there")
        return self
