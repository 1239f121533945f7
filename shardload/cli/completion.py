"""Which job names the shell offers when somebody presses Tab. It must answer at once, and print nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import click

from shardload.config.environment import state_dir_from

_Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def job_names(which: Literal["all", "running", "resumable"] = "all") -> _Complete:
    """What click asks for an argument's completions: the names of these jobs."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
        from shardload.errors import ShardloadError  # here: every command is defined with this, few ask it
        from shardload.jobs import status

        try:
            return status.job_names(state_dir_from(ctx.params.get("state_dir")), incomplete, which)
        except ShardloadError:
            return []

    return complete
