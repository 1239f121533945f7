"""Read MySQL's public key from a file."""

from __future__ import annotations

from pathlib import Path

from shardload.errors import SpecError

_MOST_BYTES = 1 << 16
_BEGINNING = b"-----BEGIN PUBLIC KEY-----"


def read_public_key(file: Path, origin: str) -> bytes:
    """The file's PEM text. SpecError, whose message begins with `origin` (a flag or key), if it holds no public key."""
    hint = "name a copy of the file public_key.pem in MySQL's data directory"
    if not file.is_file():
        raise SpecError(f"{origin}: there is no file {file}", hint)
    try:
        with file.open("rb") as opened:
            key = opened.read(_MOST_BYTES)
    except OSError as error:
        raise SpecError(f"{origin}: cannot read {file}: {error.strerror}", hint) from None
    if not key.lstrip().startswith(_BEGINNING):
        raise SpecError(f"{origin}: {file} is not a public key (it does not begin with {_BEGINNING.decode()})", hint)
    return key
