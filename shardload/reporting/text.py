"""The facts of a job in words: each is formatted here, in one place."""

from __future__ import annotations

from shardload.model.counts import Counts
from shardload.model.wording import counted, duration
from shardload.reporting.confidence import most_share
from shardload.reporting.facts import SEARCHING, JobFacts, SlotFacts
from shardload.reporting.progress import Progress

_SILENT_S = 5  # a heartbeat that is older is told


def percentage(share: float) -> str:
    """A share (0 to 1) in per cent, never rounded up."""
    return f"{int(share * 1000) / 10:.1f}%"


def counts_text(counts: Counts) -> str:
    """The sum that has to add up; and the lookups, if there are any."""
    kept = f" + {counts.keys_kept:,} kept" if counts.keys_kept else ""
    lookups = f"; {counted(counts.lookups_written, 'lookup')} written" if counts.lookups_written else ""
    return (
        f"{counts.rows_read:,} rows read = {counts.keys_written:,} keys written{kept} + {counts.rows_skipped:,} skipped"
        f" + {counts.rows_failed:,} failed{lookups}"
    )


def work_text(facts: JobFacts) -> str:
    """What became of the rows: they were loaded, or compared."""
    return compared_text(facts) if facts.is_verify else counts_text(facts.counts)


def compared_text(facts: JobFacts) -> str:
    """What a verify has found."""
    counts, totals = facts.counts, facts.differences
    told = [f"{totals.found.get(fault, 0):,} {fault.words}" for fault in facts.faults]
    told.append(f"{counts.rows_skipped + counts.rows_failed:,} rows that make no key")
    told += [f"{counts.keys_expired:,} expired"] if counts.keys_expired else []
    told += [f"{counts.keys_kept:,} kept as they were"] if counts.keys_kept else []
    repaired = f"; {totals.repaired:,} of {totals.keys:,} repaired" if totals.repaired else ""
    return f"{counts.rows_read:,} rows compared: {', '.join(told)}{repaired}"


def confidence_text(facts: JobFacts) -> str:
    """What a sample says of all keys; empty if all were compared.

    The bound is that of Clopper and Pearson at 95 %, one-sided, for keys that differ by chance, wherever they are.
    """
    keys = facts.counts.keys_equal + facts.differences.keys
    if facts.sample >= 1 or not keys or facts.is_running:
        return ""
    most = most_share(facts.differences.keys, keys)
    return (
        f"a sample of {keys:,} keys: with a confidence of 95 %, at most {most:.3%} of all keys differ, if those that "
        "differ are spread over the whole table"
    )


def describe(progress: Progress, room: int | None = None) -> str:
    """Rows (exact), rate (smoothed), time left (an estimate), workers, and retries if there were any.

    If `room`, in characters, is too small for all of it, parts are left out; the time left stays longest.
    """
    rows, rate = f"{progress.rows:,} rows", f"{progress.rows_per_second:,.0f} rows/s"
    eta = "?" if progress.eta_s is None else duration(progress.eta_s, roughly=True)
    left = [f"about {eta} left"] if progress.share < 1 else []
    more = [counted(progress.workers, "worker")]
    if progress.retries:
        more.append(counted(progress.retries, "retry", "retries"))
    if progress.restraint:
        more.append(progress.restraint)
    last = [f"{eta} left", eta] if left else []
    forms = [[rows, rate, *left, *more], [rows, rate, *left], [rows, *left], left or [rows], *([one] for one in last)]
    texts = [", ".join(form) for form in forms]
    return next((text for text in texts if room is None or len(text) <= room), "")


def summary_lines(facts: JobFacts, why: str) -> list[str]:
    """What a person is told at the end of a run; `why` says why keys are written as they are."""
    return [
        f"job {facts.job}: {facts.status}",
        f"  {work_text(facts)}",
        *_confidence_lines(facts),
        f"  {_ranges_text(facts)}",
        *_unfinished_lines(facts),
        f"  {_speed_text(facts)}, {counted(facts.workers, 'worker')}",
        f"  encoder: {facts.encoder} ({why})",
        *_target_lines(facts),
    ]


def summary_line(facts: JobFacts) -> str:
    """The end of a run, for a log."""
    ranges = f"{facts.ranges_done:,} of {facts.ranges:,} ranges"
    unfinished = f"; {_unfinished_text(facts)}" if facts.rows_unfinished else ""
    return f"{work_text(facts)}, {ranges}, {duration(facts.seconds)}{unfinished}"


def status_lines(facts: JobFacts) -> list[str]:
    """What `shardload status` shows."""
    pid = f", process {facts.pid}" if facts.pid else ""
    since = f", started {facts.started}" if facts.started else ""
    share = f"{percentage(facts.share)} of the plan, " if facts.is_running else ""
    left = f", about {duration(facts.eta_s, roughly=True)} left" if facts.eta_s is not None else ""
    limit = f", at most {facts.rate:,} rows/s" if facts.rate else ""
    lines = [
        f"job {facts.job}: {facts.state}{pid}{since}",
        f"  {share}{work_text(facts)}",
        *_confidence_lines(facts),
        f"  {_ranges_text(facts)}",
        *_unfinished_lines(facts),
        f"  {_speed_text(facts)}{left}{limit}",
        *_target_lines(facts),
    ]
    if facts.state == SEARCHING:
        lines.append("  every row is compared; it looks for keys that no row stands for")
    if facts.is_running and facts.workers:
        lines.append(f"  {len(facts.slots)} of {counted(facts.workers, 'worker')}")
    lines += [f"    #{slot.slot} process {slot.pid}: {slot_text(slot)}" for slot in facts.slots]
    lines += [f"  trouble: {text}" for text in facts.troubles]
    if facts.state == "died":
        lines.append(f"  to see why: shardload log {facts.job}")
    if facts.error:
        lines.append(f"  {' '.join(facts.error.split())}")
    return lines


def listing_line(facts: JobFacts) -> str:
    """What `shardload jobs` shows of a job."""
    pid = f"process {facts.pid}" if facts.pid else ""
    rows = f"{facts.counts.rows_read:,} rows"
    return f"{facts.job:<32} {facts.state:<11} {percentage(facts.share):>6}  {rows:>18}  {pid}".rstrip()


def slot_text(slot: SlotFacts) -> str:
    """What a worker does, or the head's side of a machine."""
    if slot.machine:
        doing = "works" if slot.range else "waits"
        return f"machine {slot.machine}: {doing}, {slot.rows:,} rows done"
    current = f", range {slot.range}: {slot.rows:,} rows" if slot.range else ""
    is_silent = slot.silent_s >= _SILENT_S and slot.range
    silent = f", no sign of life for {duration(slot.silent_s, roughly=True)}" if is_silent else ""
    return f"{slot.doing}{current}{silent}"


def _ranges_text(facts: JobFacts) -> str:
    return f"{facts.ranges_done:,} of {facts.ranges:,} ranges done, {facts.ranges_retried:,} needed more than one try"


def _speed_text(facts: JobFacts) -> str:
    return f"{duration(facts.seconds)}, {facts.rows_per_second:,.0f} rows/s"


def _confidence_lines(facts: JobFacts) -> list[str]:
    told = confidence_text(facts)
    return [f"  {told}"] if told else []


def _target_lines(facts: JobFacts) -> list[str]:
    return [f"  target: {facts.target}"] if facts.target else []


def _unfinished_lines(facts: JobFacts) -> list[str]:
    return [f"  {_unfinished_text(facts)}"] if facts.rows_unfinished else []


def _unfinished_text(facts: JobFacts) -> str:
    least = "" if facts.rows_unfinished_exact else "at least "
    verb = "was" if facts.rows_unfinished == 1 else "were"
    return (
        f"{least}{counted(facts.rows_unfinished, 'more row')} {verb} written in ranges that are not done; "
        "resume loads these ranges again"
    )
