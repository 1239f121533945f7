"""What a person is told of a job before it runs: rows, keys, memory, time, saves, rights. In words, and in JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shardload.config.spec import JobSpec
from shardload.jobs.fit import Fit
from shardload.model.projection import fullest, told
from shardload.model.wording import duration, size
from shardload.target import Choice, Upkeep


def notes(fit: Fit, *, force: bool) -> list[str]:
    """What a person should know when a run begins; nothing where no limit is near."""
    if not fit.is_thorough or not fit.projections:
        return []
    most = fullest(fit.projections)
    verdict = "it fits"
    if not most.fits:
        verdict = f"{size(most.missing_bytes)} are missing{', begun by --force' if force else ''}"
    elif most.is_close:
        verdict = "it fits, with less than a tenth of the limit left, where --keep-free 10% pauses it"
    return [f"memory: {fit.told}: {verdict}", *_upkeep_words(fit)]


def lines(fit: Fit, spec: JobSpec, choice: Choice | None, refusal: str) -> list[str]:
    """What `plan` tells of rows and target, a line each."""
    found = [f"rows: {fit.rows:,} {'counted' if fit.is_exact else 'about, by a count of some ranges'}"]
    if fit.projections:
        each = fit.projections[0].bytes_per_key
        found.append(f"a key takes about {each:,.0f} bytes of Redis, {fit.how}; {fit.sampled:,} rows sampled")
        found += [f"memory: {told(one, len(fit.projections))}" for one in fit.projections]
        found.append(_verdict(fit))
    if fit.existing is not None:
        what = "left alone" if spec.keeps else "replaced"
        found.append(f"keys that exist: about {fit.existing:.0%} of those in the sample; they are {what}")
    if spec.rate:
        found.append(f"time: {duration(fit.rows / spec.rate)} at {spec.rate:,} rows/s")
    elif fit.rows_per_s:
        rate = f"{fit.rows_per_s:,.0f} rows/s, which is what Redis took for scratch keys"
        found.append(f"time: about {duration(fit.rows / fit.rows_per_s)} at {rate}")
    if choice is not None:
        found.append(f"encoding: {encoding_of(choice)}: {choice.reason}")
    return [*found, *_upkeep_words(fit), *[f"rights: {one}" for one in rights(fit, refusal)]]


def in_json(fit: Fit, spec: JobSpec, choice: Choice | None, refusal: str) -> dict[str, Any]:
    """The same as JSON types. The names are an interface."""
    rate = spec.rate or fit.rows_per_s or None
    return {
        "rows": fit.rows,
        "rows_exact": fit.is_exact,
        "rows_sampled": fit.sampled,
        "fits": None if not fit.is_limited else all(one.fits for one in fit.projections),
        "memory": [one.as_json() for one in fit.projections],
        "memory_by": fit.how or None,
        "existing_share": fit.existing,
        "rate": round(rate) if rate else None,
        "estimated_s": round(fit.rows / rate, 1) if rate else None,
        "encoding": encoding_of(choice) if choice else None,
        "encoding_reason": choice.reason if choice else None,
        "saves": _upkeep_words(fit),
        "rights": rights(fit, refusal),
    }


def encoding_of(choice: Choice) -> str:
    """What is written, in a few words."""
    if choice.payload is not None:
        return f"RESTORE {choice.payload.value}"
    return "commands in a transaction" if choice.whole else "commands"


def rights(fit: Fit, refusal: str) -> list[str]:
    """Which rights are missing, and for what."""
    found = [refusal] if refusal else []
    if not fit.projections and not fit.how:
        found.append("INFO is refused: nobody can say whether it fits, and a failover cannot be noticed")
    if fit.projections and fit.existing is None:
        found.append("EXISTS is refused: how many keys exist is not known")
    return found


def _verdict(fit: Fit) -> str:
    if not fit.is_limited:
        return "whether it fits is not known: Redis tells no limit"
    most = fullest(fit.projections)
    if most.fits:
        close = ", with less than a tenth of the limit left, where --keep-free 10% pauses a job"
        return f"it fits{close if most.is_close else ''}"
    return f"it does not fit: {size(most.missing_bytes)} are missing; run refuses, unless --force"


def _upkeep_words(fit: Fit) -> list[str]:
    """What Redis does beside the import, and what that costs."""
    words = [one for upkeep in fit.upkeep for one in _words(upkeep)]
    added = max((one.added_bytes for one in fit.projections), default=0)
    cost = f": while one is written, what the import changes is there twice, up to {size(added)} more"
    return [f"{word}{cost if 'sav' in word else ''}" for word in dict.fromkeys(words)]


def _words(upkeep: Upkeep) -> Iterable[str]:
    if upkeep.is_saving or upkeep.save:
        yield f"saves: Redis saves{' now' if upkeep.is_saving else f' by itself ({upkeep.save})'}"
    if upkeep.aof:
        what = ", and rewrites it now" if upkeep.is_rewriting else ""
        yield f"append-only file: Redis logs every write{what}, and saves it anew when it has grown"
