"""What Redis's error texts mean to us: patience, a right that is missing, a row's fault; with a hint. Pure."""

from __future__ import annotations

from shardload.errors import TargetBusy, TargetDenied, TargetError, TargetFull

MOST_TEXT_CHARS = 300  # of what a server says; some texts are pages long, and a broken server's have no end

# Replies that mean "not now": the same command will be accepted later.
_PATIENCE = ("LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "OOM", "BUSY", "MISCONF", "NOREPLICAS")
_DENIED = ("NOAUTH", "WRONGPASS", "DENIED", "MOVED", "ASK", "CROSSSLOT")
_FULL = "max number of clients"  # an ERR like any other, but for its text
_HINTS = {
    "NOAUTH": "give user and password in --redis",
    "WRONGPASS": "check user and password in --redis",
    "NOPERM": "give this Redis user the right to the command and the key (ACL SETUSER)",
    "DENIED": "give Redis a password, or set its protected-mode to no",
    "OOM": "raise maxmemory, or choose an evicting maxmemory-policy",
    "READONLY": "this is a replica: name the primary in --redis",
    "LOADING": "Redis is reading its data from disk: try again when it is done",
    "MOVED": "this is a node of a Redis Cluster, which is not supported yet: name a Redis that has all keys",
    _FULL: "raise Redis's maxclients, or use fewer --workers",
}
_HINTS["ASK"] = _HINTS["CROSSSLOT"] = _HINTS["MOVED"]


def shown(text: str | bytes) -> str:
    """What a server said, as far as it stands in a message of ours."""
    if isinstance(text, bytes):
        text = text[: 4 * MOST_TEXT_CHARS].decode("utf-8", "backslashreplace")
    return text if len(text) <= MOST_TEXT_CHARS else text[:MOST_TEXT_CHARS] + "..."


def word_of(reply: str) -> str:
    """The word by which an error is known."""
    return _FULL if _FULL in reply else reply.partition(" ")[0]


def refusal(operation: str, reply: str) -> TargetError:
    """The error of ours for an error of Redis's. TargetBusy where patience helps, TargetDenied where nothing does."""
    word = word_of(reply)
    is_denied = word in _DENIED or (word == "NOPERM" and "permissions to access" not in reply)  # a key: a row's affair
    if word == _FULL:
        return TargetFull(f"{operation}: {shown(reply)}", _HINTS[_FULL])
    kind = TargetBusy if word in _PATIENCE else TargetDenied if is_denied else TargetError
    return kind(f"{operation}: {shown(reply)}", _HINTS.get(word, ""))
