"""The rule for job names. A job's name is also its directory's name, and part of process titles. Pure."""

from __future__ import annotations

import re

JOB_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
JOB_NAME_WORDS = "at most 64 letters, digits, '.', '_' and '-', the first a letter or a digit"


_MOST_CHARS = 64
_VERIFY = "-verify"


def verify_name(job: str) -> str:
    """The name of the verify of this job."""
    return job[: _MOST_CHARS - len(_VERIFY)] + _VERIFY


def is_job_name(text: str) -> bool:
    """True if the text is a valid job name."""
    return re.fullmatch(JOB_NAME.removesuffix("$"), text) is not None
