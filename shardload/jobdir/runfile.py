"""What stands where in `run.json` and `spec.json`, so that those who read it need not ask again. Pure."""

from __future__ import annotations

from typing import Any

_INT = range(-(2**31), 2**31)
_UNSIGNED = range(2**64)
_KEY = (range(-(2**31), 0), range(1, 2**31))  # 0 is IPC_PRIVATE: to look for it makes a new object
_OBJECT = {"key": _KEY, "id": _INT}
_USER = {"uid": range(2**32 - 1)}
_RUN: dict[str, Any] = {
    "pid": _INT, "start": _UNSIGNED, "run_id": _UNSIGNED, "started": str, "encoder": str, "ipc_namespace": str,
    "troubles": [str],
    "ipc": (
        {**_USER, "board": {"id": _INT}, "queues": [{**_OBJECT, "changed": _UNSIGNED}], "semaphore": _OBJECT},
        {**_USER, "pid": _INT, "since": _UNSIGNED},  # they are about to be made
    ),
    "outcome": {"status": str},
}  # fmt: skip
_TOLD = {"exit_code": _INT, "rows_unfinished": _UNSIGNED, "rows_unfinished_exact": bool}  # of the outcome, if at all
_WITH_IPC = ("pid", "start", "run_id")  # without these nobody could tell whose objects they are


def wrong_names(run: dict[str, Any]) -> list[str]:
    """The names whose values cannot be right. Each may be missing, or null; but not those that go with others."""
    wrong = [name for name, shape in _RUN.items() if run.get(name) is not None and not _fits(run[name], shape)]
    if not wrong and run.get("ipc") is not None:
        wrong += [name for name in _WITH_IPC if run.get(name) is None]
    outcome = run.get("outcome")
    if isinstance(outcome, dict) and not all(_fits(outcome[name], _TOLD[name]) for name in _TOLD.keys() & outcome):
        wrong.append("outcome")
    return wrong


def wrong_in_spec(spec: dict[str, Any], job: str) -> list[str]:
    """The names in a stored spec that cannot be right. What the job's own rules say of the others is said later."""
    wrong = [name for name in ("mysql", "redis") if not isinstance(spec.get(name), str)]
    if spec.get("job") != job:
        wrong.append("job")
    passwords = spec.get("passwords", {})
    if not isinstance(passwords, dict) or not all(isinstance(had, bool) for had in passwords.values()):
        wrong.append("passwords")
    return wrong


def _fits(value: Any, shape: Any) -> bool:
    """True if a JSON value is of this shape: a type, an integer of a range, one shape of several (a tuple), a list of
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
