"""Which job names the shell offers when somebody presses Tab. Light: it must answer at once, and say nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import click

from shardload.config.environment import state_dir_from

_Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def job_names(which: Literal["all", "running", "resumable"] = "all") -> _Complete:
    """What click asks for an argument's completions: the names of these jobs."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
        from shardload.errors import ShardloadError  # here, all of them: every command is defined with this, few ask it
        from shardload.jobdir.directory import JobDirectory
        from shardload.jobs.status import RESUMABLE, RUNNING, look

        def fits(directory: JobDirectory) -> bool:
            try:
                return look(directory).state in (RUNNING if which == "running" else RESUMABLE)
            except ShardloadError:  # a damaged one: whoever means it types its name
                return False

        try:
            found = JobDirectory.all(state_dir_from(ctx.params.get("state_dir")))
        except ShardloadError:
            return []
        begun = [directory for directory in found if directory.name.startswith(incomplete)]
        return [directory.name for directory in begun if which == "all" or fits(directory)]

    return complete
