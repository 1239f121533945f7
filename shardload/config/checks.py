"""What a verify compares, and what it does with what differs, as a person says it. `JobSpec` has these settings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from shardload.config.values import BrokenRule, Share

INTERNAL = ("kind",)  # set by the command, never by a person


class CheckSpec(BaseModel):
    """What is done with the rows: they are loaded, or compared with their keys. Frozen."""

    kind: Literal["load", "verify"] = "load"
    verify: bool = False
    sample: Annotated[Share, Field(gt=0, le=1)] = 1.0
    extra: bool = False
    repair: bool = False

    @property
    def is_verify(self) -> bool:
        """True if rows are compared with their keys, and not loaded."""
        return self.kind == "verify"

    @model_validator(mode="after")
    def _checks_fit_together(self) -> CheckSpec:
        """ValueError (BrokenRule) if a setting does not go with another one."""
        if self.extra and self.sample < 1:
            raise BrokenRule("extra", "needs every row: it does not go with a sample")
        if self.kind == "load" and not self.verify:
            for name in ("sample", "extra", "repair"):
                if getattr(self, name) != CheckSpec.model_fields[name].default:
                    raise BrokenRule(name, "needs --verify: it is about the comparison at the end")
        return self
