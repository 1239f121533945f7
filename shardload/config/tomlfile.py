"""A job's TOML file: read, and held to the form that the spec knows: keys, and no sections."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from shardload.errors import SpecError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_MOST_BYTES = 2**20  # far more than every key there is: what is longer is another kind of file


def read_toml(file: Path) -> dict[str, Any]:
    """The file's keys, with '_' for '-'. SpecError, with the line if there is one, if it is no such file."""
    try:
        with file.open("rb") as opened:
            content = opened.read(_MOST_BYTES + 1)
        said = tomllib.loads(content.decode("utf-8"))
    except OSError as error:
        raise SpecError(f"cannot read {file}: {error.strerror}", "name an existing TOML file") from None
    except UnicodeDecodeError:
        raise SpecError(f"{file} is not UTF-8 text", "a TOML file is UTF-8") from None
    except RecursionError:
        raise SpecError(f"{file} is nested too deeply", "shardload's keys have plain values and lists") from None
    except ValueError as error:  # the parser's own, and an integer of more digits than Python reads
        raise SpecError(f"{file} is not valid TOML: {error}", _hint(str(error))) from None
    if len(content) > _MOST_BYTES:
        raise SpecError(f"{file} is longer than {_MOST_BYTES:,} bytes", "name a job's TOML file")
    for key, value in said.items():
        if isinstance(value, dict):
            raise SpecError(f"{file}: {key} is a section, and there are none", f"leave out the line [{key}]")
    return {key.replace("-", "_"): value for key, value in said.items()}


def _hint(message: str) -> str:
    if "overwrite" in message or "twice" in message:
        return "give each key once"
    if "Invalid value" in message:
        return 'strings need quotes: table = "user"'
    return 'a line looks like this: table = "user"'
