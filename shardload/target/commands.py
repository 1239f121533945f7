"""Finds single keys in packed commands: those that a node of a cluster did not write go to another one. Pure."""

from __future__ import annotations

from collections.abc import Iterator

ASKING = b"*1\r\n$6\r\nASKING\r\n"


def split_keys(commands: bytes, per_key: int) -> list[list[bytes]]:
    """The packed commands of each key, where each key has `per_key` commands."""
    single = list(_split(commands))
    return [single[at : at + per_key] for at in range(0, len(single), per_key)]


def words_of(command: bytes) -> list[bytes]:
    """The words of one packed command."""
    words = []
    end = command.index(b"\r\n")
    at = end + 2
    for _ in range(int(command[1:end])):
        end = command.index(b"\r\n", at)
        size = int(command[at + 1 : end])
        words.append(command[end + 2 : end + 2 + size])
        at = end + 4 + size
    return words


def _split(commands: bytes) -> Iterator[bytes]:
    start = at = 0
    while start < len(commands):
        end = commands.index(b"\r\n", at)
        words = int(commands[at + 1 : end])
        at = end + 2
        for _ in range(words):
            end = commands.index(b"\r\n", at)
            at = end + 4 + int(commands[at + 1 : end])
        yield commands[start:at]
        start = at
