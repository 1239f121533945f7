"""Turn Redis's error replies into our errors, with a hint: try again, fix the rights, or a row failed. Pure."""

from __future__ import annotations

import re
from typing import Any

import hiredis

from shardload.errors import TargetBusy, TargetDenied, TargetError, TargetFull, TargetLost, TargetMoved

NO_REDIS = "this may not be a Redis: check its address in --redis"
MOST_TEXT_CHARS = 300  # of a server's text in a message; some are pages long

_LOGIN = "check user, password and database in --redis"
_NO_DATABASES = "this cluster has database 0 only: name that in --redis"

# Redis cannot do it now, but will accept the same command later.
_BUSY = ("LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "OOM", "BUSY", "MISCONF", "NOREPLICAS")
_DENIED = ("NOAUTH", "WRONGPASS", "DENIED", "MOVED", "ASK", "CROSSSLOT")
# A node of a cluster cannot do this one command; another node can, or the same one can soon.
FOLLOWED = ("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "LOADING", "MASTERDOWN")
_LAST_SLOT = 16383
_MOVED = re.compile(r"(MOVED|ASK) (\d{1,5}) (.{0,255}):(\d{1,5})")
_FULL = "max number of clients"  # part of the text of an ERR reply
_HINTS = {
    "NOAUTH": "give user and password in --redis",
    "WRONGPASS": "check user and password in --redis",
    "NOPERM": "give this Redis user the right to the command and the key (ACL SETUSER)",
    "DENIED": "give Redis a password, or set its protected-mode to no",
    "OOM": "raise maxmemory, or choose an evicting maxmemory-policy",
    "READONLY": "this is a replica: name the primary in --redis",
    "LOADING": "wait until Redis has read its data from disk, then try again",
    "MOVED": "this is a node of a Redis Cluster: write redis+cluster:// in --redis, or allow INFO",
    "CLUSTERDOWN": "wait until the cluster has a master for every slot: see CLUSTER INFO and CLUSTER NODES",
    _FULL: "raise Redis's maxclients, or use fewer --workers",
}
_HINTS["ASK"] = _HINTS["CROSSSLOT"] = _HINTS["MOVED"]


def excerpt(text: str | bytes) -> str:
    """The beginning of a server's text, for a message of ours."""
    if isinstance(text, bytes):
        text = text[: 4 * MOST_TEXT_CHARS].decode("utf-8", "backslashreplace")
    return text if len(text) <= MOST_TEXT_CHARS else text[:MOST_TEXT_CHARS] + "..."


def error_word(reply: str) -> str:
    """The first word of an error reply, such as NOAUTH; for too many clients, the words of `_FULL`."""
    return _FULL if _FULL in reply else reply.partition(" ")[0]


def error_from_reply(operation: str, reply: str) -> TargetError:
    """Our error for an error reply: TargetFull or TargetBusy if waiting helps, TargetMoved if another node has the key,
    TargetDenied if the job as a whole is refused, else TargetError, which is about one key."""
    word = error_word(reply)
    error = _error(f"{operation}: {excerpt(reply)}", _HINTS.get(word, ""), word, reply)
    error.word = word
    return error


def _error(message: str, hint: str, word: str, reply: str) -> TargetError:
    moved = _MOVED.fullmatch(reply)
    if moved and int(moved[2]) <= _LAST_SLOT:
        host = "" if moved[3] == "?" else moved[3]
        return TargetMoved(message, hint, slot=int(moved[2]), host=host, port=int(moved[4]), asks=word == "ASK")
    if word == _FULL:
        return TargetFull(message, hint)
    if word in _BUSY:
        return TargetBusy(message, hint)
    is_one_key = "permissions to access" in reply  # NOPERM for a key is about its row
    is_denied = word in _DENIED or (word == "NOPERM" and not is_one_key)
    return TargetDenied(message, hint) if is_denied else TargetError(message, hint)


def refused_login(error: TargetError, password: str | None) -> TargetError:
    """The error for a refused AUTH or SELECT, without the password: a server without AUTH repeats its arguments."""
    if isinstance(error, TargetLost):
        return error
    message = error.message.partition(", with args")[0]
    return TargetDenied(
        message.replace(password, "***") if password else message,
        error.hint or (_NO_DATABASES if "cluster mode" in message else _LOGIN),
    )


def is_plain(reply: Any) -> bool:
    """True for the types of RESP2, which Redis uses unless a client asks for RESP3."""
    if type(reply) is list:
        return all(map(is_plain, reply))
    return reply is None or type(reply) in (bytes, int) or isinstance(reply, hiredis.ReplyError)


def described(reply: Any) -> str:
    """An unexpected reply, in a few words for a message."""
    kinds = {int: "an integer", list: "an array", bytes: "a text", type(None): "nothing"}
    return f"'{excerpt(reply)}'" if isinstance(reply, bytes) else kinds.get(type(reply), "a reply of another protocol")
