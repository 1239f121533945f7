"""`run.json`, as one typed record: who runs a job, with which SysV objects, and how the last run ended.

Whoever reads a file that a person, or a disk, has damaged gets the names whose values cannot be right.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

_INT = range(-(2**31), 2**31)
_UNSIGNED = range(2**64)
_KEY = (range(-(2**31), 0), range(1, 2**31))  # 0 is IPC_PRIVATE: to look for it makes a new object
_OBJECT = {"key": _KEY, "id": _INT}
_USER = {"uid": range(2**32 - 1)}
_RUN: dict[str, Any] = {
    "pid": _INT, "start": _UNSIGNED, "run_id": _UNSIGNED, "started": str, "daemon": bool, "encoder": str, "target": str,
    "ipc_namespace": str, "phase": str, "troubles": [str],
    "ipc": (
        {**_USER, "board": {"id": _INT}, "queues": [{**_OBJECT, "changed": _UNSIGNED}], "semaphore": _OBJECT},
        {**_USER, "pid": _INT, "since": _UNSIGNED},  # they are about to be made
    ),
    "outcome": {"status": str},
}  # fmt: skip
_TOLD = {
    "workers": _INT, "error": (str, type(None)), "exit_code": (_INT, type(None)), "rows_unfinished": _UNSIGNED,
    "rows_unfinished_exact": bool,
}  # fmt: skip  # of the outcome, if at all
_WITH_IPC = ("pid", "start", "run_id")  # without these nobody could tell whose objects they are


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended. `exit_code` None: it did not say."""

    status: str
    workers: int = 0
    error: str | None = None
    exit_code: int | None = None
    rows_unfinished: int = 0
    rows_unfinished_exact: bool = True


@dataclass(frozen=True)
class RunRecord:
    """The last run of a job. `ipc` is its SysV objects as `ipc/objects.py` records them, or their announcement; None:
    it has none (any more). `phase` is what it does after its coordinator has ended; empty: nothing. `outcome` None: it
    has not ended, or died."""

    pid: int | None = None
    start: int | None = None
    run_id: int | None = None
    started: str | None = None
    daemon: bool = False
    encoder: str = ""
    target: str = ""
    ipc_namespace: str = ""
    phase: str = ""
    troubles: tuple[str, ...] = ()
    ipc: dict[str, Any] | None = None
    outcome: RunOutcome | None = None

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> RunRecord:
        """The record that a file's content is. ValueError, with the names, if some values cannot be right."""
        if wrong := wrong_names(content):
            raise ValueError(", ".join(wrong))
        known = {name: value for name, value in content.items() if name in _RUN and value is not None}
        outcome = known.pop("outcome", None)
        troubles = tuple(known.pop("troubles", ()))
        told = {name: value for name, value in (outcome or {}).items() if name in _TOLD or name == "status"}
        return cls(**known, troubles=troubles, outcome=RunOutcome(**told) if outcome else None)

    def as_json(self) -> dict[str, Any]:
        """What is written into the file."""
        return {**dataclasses.asdict(self), "troubles": list(self.troubles)}

    @property
    def board_id(self) -> int | None:
        """The kernel's id of the board's memory; None if none was recorded."""
        return self.ipc["board"]["id"] if self.ipc and "board" in self.ipc else None

    @property
    def is_beginning(self) -> bool:
        """True if its SysV objects are announced, and not recorded yet."""
        return self.ipc is not None and "since" in self.ipc


def wrong_names(run: dict[str, Any]) -> list[str]:
    """The names whose values cannot be right. A value may be missing, or null, unless another one needs it."""
    wrong = [name for name, shape in _RUN.items() if run.get(name) is not None and not _fits(run[name], shape)]
    if not wrong and run.get("ipc") is not None:
        wrong += [name for name in _WITH_IPC if run.get(name) is None]
    outcome = run.get("outcome")
    if isinstance(outcome, dict) and not all(_fits(outcome[name], _TOLD[name]) for name in _TOLD.keys() & outcome):
        wrong.append("outcome")
    return wrong


def wrong_in_spec(spec: dict[str, Any], job: str) -> list[str]:
    """The names in a stored spec whose values cannot be right. The spec's own rules say later what is wrong with the
    others."""
    wrong = [name for name in ("mysql", "redis") if not isinstance(spec.get(name), str)]
    if spec.get("job") != job:
        wrong.append("job")
    passwords = spec.get("passwords", {})
    if not isinstance(passwords, dict) or not all(isinstance(had, bool) for had in passwords.values()):
        wrong.append("passwords")
    return wrong


def _fits(value: Any, shape: Any) -> bool:
    """True if a JSON value has this shape: a type, an integer of a range, one shape of several (a tuple), a list of
    one shape, or an object with at least these names."""
    if isinstance(shape, tuple):
        return any(_fits(value, one) for one in shape)
    if isinstance(shape, range):
        return isinstance(value, int) and value in shape
    if isinstance(shape, list):
        return isinstance(value, list) and all(_fits(one, shape[0]) for one in value)
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(name in value and _fits(value[name], shape[name]) for name in shape)
    return isinstance(value, shape)
