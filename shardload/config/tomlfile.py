"""Read a job's TOML file. It may have keys only, and no sections."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from shardload.errors import SpecError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_MOST_BYTES = 2**20  # far more than all keys need; a longer file is another kind of file


def read_toml(file: Path) -> dict[str, Any]:
    """The file's keys, with '_' for '-', and values. SpecError (with the line, if known) if it is not such a file."""
    try:
        with file.open("rb") as opened:
            content = opened.read(_MOST_BYTES + 1)
        settings = tomllib.loads(content.decode("utf-8"))
    except OSError as error:
        raise SpecError(f"cannot read {file}: {error.strerror}", "name an existing, readable TOML file") from None
    except UnicodeDecodeError:
        raise SpecError(f"{file} is not UTF-8 text", "save the file as UTF-8") from None
    except RecursionError:
        raise SpecError(f"{file} is nested too deeply", "use plain values and lists only") from None
    except ValueError as error:  # invalid TOML, or an integer with more digits than Python reads
        raise SpecError(f"{file} is not valid TOML: {error}", _hint(str(error))) from None
    if len(content) > _MOST_BYTES:
        raise SpecError(f"{file} is longer than {_MOST_BYTES:,} bytes", "name a TOML file with a job's settings")
    for key, value in settings.items():
        if isinstance(value, dict):
            raise SpecError(f"{file}: sections such as [{key}] are not allowed", f"delete the line [{key}]")
    return {key.replace("-", "_"): value for key, value in settings.items()}


def _hint(message: str) -> str:
    """What to do about one of the parser's messages."""
    if "overwrite" in message or "twice" in message:
        return "give each key once"
    if "Invalid value" in message:
        return 'strings need quotes: table = "user"'
    return 'write each line like this: table = "user"'
