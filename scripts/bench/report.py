"""What results.json says, as people read it: docs/speed.svg, the tables of docs/performance.md, README's one line.

Everything is drawn from that one file, so that chart, tables and text cannot differ; tests/unit/test_docs.py draws them
again and compares. Started by itself, this file draws all of it anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).parent / "results.json"
CHART = ROOT / "docs" / "speed.svg"
PERFORMANCE = ROOT / "docs" / "performance.md"
README = ROOT / "README.md"

PIPE = "mysql, piped to redis-cli"
PIPE_EXPIRING = "mysql, piped to redis-cli, with EXPIRE"
DEFAULT = "shardload, 2 workers"
CLUSTER = f"{DEFAULT}, into a cluster of three"
EXPIRING = "shardload, 2 workers, --ttl 7d --ttl-jitter 10%"
# What the chart shows: each group is compared with its own pipe, which comes first.
GROUPS = (
    ("Keys that stay", (PIPE, "redis-py pipelines, 2 processes", DEFAULT)),
    ("Keys that expire (--ttl, EXPIRE)", (PIPE_EXPIRING, EXPIRING)),
)

Run = dict[str, Any]


def load() -> list[Run]:
    """The runs of results.json, the smallest table first."""
    return cast("list[Run]", json.loads(RESULTS.read_text(encoding="utf-8")))


def save(run: Run) -> None:
    """Put a run into results.json, in the place of the one with as many rows, and draw everything from it."""
    kept = [other for other in load() if other["rows"] != run["rows"]]
    draw(sorted([*kept, run], key=lambda one: int(one["rows"])))


def draw(runs: list[Run]) -> None:
    """Write the results, the chart, the tables and README's line."""
    written = {
        RESULTS: json.dumps(runs, indent=1) + "\n",
        CHART: chart(runs[0]),
        PERFORMANCE: with_tables(PERFORMANCE.read_text(encoding="utf-8"), runs),
        README: with_headline(README.read_text(encoding="utf-8"), runs[0]),
    }
    for file, text in written.items():
        file.write_text(text, encoding="utf-8")


# ---- text


def with_tables(page: str, runs: list[Run]) -> str:
    """The page, with each run's table between its marks."""
    for run in runs:
        page = _replaced(page, f"bench {run['rows']}", lambda run=run: table(run))  # type: ignore[misc]
    return page


def with_headline(page: str, run: Run) -> str:
    """The page, with the one line between its marks."""
    return _replaced(page, "bench headline", lambda: headline(run))


def headline(run: Run) -> str:
    """The default, compared with the best-known trick."""
    speed, ratio = _rows_per_second(run, DEFAULT), _seconds(run, PIPE) / _seconds(run, DEFAULT)
    return (
        f"{run['rows']:,} rows of {run['columns']} columns on one machine with {_cpus(run)}, which serve MySQL, Redis "
        f"and two workers: **{speed:,.0f} rows/s**, {ratio:.2f} times `mysql --quick` piped to `redis-cli --pipe`."
    )


def table(run: Run) -> str:
    """All contenders of a run in Markdown, and under it where and when they were measured."""
    lines = [
        f"| {run['rows']:,} rows of {run['columns']} columns | speed, pipe = 1 | s | rows/s | client CPU, µs/row "
        "| mysqld | Redis | client peak |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in run["contenders"]:
        per_row = [f"{one[name] / run['rows'] * 1e6:.2f}" for name in ("client_cpu_s", "mysqld_cpu_s", "redis_cpu_s")]
        cells = [
            _title(one["name"]), _ratio(run, one["name"]), f"{one['wall_s']:.2f}",
            f"{run['rows'] / one['wall_s']:,.0f}", *per_row,
            f"{one['client_peak_mib']:.0f} MiB" if one["client_peak_mib"] else "-",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", _circumstances(run)])


def _circumstances(run: Run) -> str:
    """Where and when a run was measured, and what was measured beside the contenders; old runs lack some of it."""
    said = [f"{run['machine']}; medians of {run['times']}"]
    if "load_before" in run:
        said.append(f"load average before the run: {run['load_before']}")
    ranges = f", {run['ranges']:,} ranges" if "ranges" in run else ""
    said.append(f"planning: {run['planning_s']:.3f} s{ranges}")
    said.append(f"from the command to the first key: {run['first_key_s']:.2f} s")
    if "verified" in run:
        said.append(f"after one more load `shardload verify`: {run['verified']}")
    return f"({'; '.join(said)}.)"


def _title(name: str) -> str:
    """A contender's name in Markdown: flags as code, shardload in bold."""
    name = re.sub(r"--[a-z].*", lambda flags: f"`{flags[0]}`", name)
    return re.sub(r"^shardload", "**shardload**", name)


def _replaced(page: str, mark: str, make: Callable[[], str]) -> str:
    begin, end = f"<!-- {mark} -->\n", f"\n<!-- /{mark} -->"
    head, found, rest = page.partition(begin)
    _, found_end, tail = rest.partition(end)
    if not found or not found_end:
        raise ValueError(f"no marks {begin.strip()} ... {end.strip()}")
    return head + begin + make() + end + tail


# ---- figures


def _contender(run: Run, name: str) -> dict[str, Any] | None:
    return next((one for one in run["contenders"] if one["name"] == name), None)


def _seconds(run: Run, name: str) -> float:
    found = _contender(run, name)
    if found is None:
        raise ValueError(f"{name} was not measured with {run['rows']:,} rows")
    return float(found["wall_s"])


def _rows_per_second(run: Run, name: str) -> float:
    return float(run["rows"]) / _seconds(run, name)


def _ratio(run: Run, name: str) -> str:
    return f"{_seconds(run, PIPE) / _seconds(run, name):.2f}" if _contender(run, PIPE) else "-"


def _cpus(run: Run) -> str:
    return "one CPU" if run["cpus"] == 1 else f"{run['cpus']} CPUs"


# ---- chart

_WIDTH, _LEFT, _RIGHT, _BAR, _STEP, _TOP = 800, 310, 160, 24, 34, 78
_FONT = "font-family=\"system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif\""
_INK, _SOFT, _PAPER, _EDGE, _OURS, _OTHERS = "#1b1f24", "#57606a", "#ffffff", "#d0d7de", "#c6302b", "#8c959f"


def chart(run: Run) -> str:
    """A bar for each contender of `GROUPS`: rows a second, and the ratio to the pipe of its group. Its own background
    makes it readable on a dark page too."""
    most = max(_rows_per_second(run, name) for _, names in GROUPS for name in names)
    parts, y = [], _TOP
    for words, names in GROUPS:
        parts.append(_text(24, y + 13, words, 13, color=_SOFT, weight="600"))
        y += 24
        for name in sorted(names, key=lambda one: _rows_per_second(run, one)):
            parts += _bar(run, name, names[0], y, most)
            y += _STEP
        y += 6
    what = f"Rows per second into Redis ({run['rows']:,} rows of {run['columns']} columns)"
    where = f"{run['machine'].partition(':')[0]}; MySQL, Redis and the workers share {_cpus(run)}"
    head = [_text(24, 34, what, 18, weight="600"), _text(24, 56, where, 13, color=_SOFT)]
    height = y + 10
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
            f'height="{height}" role="img" aria-label="Rows per second into Redis, as docs/performance.md has them">',
            f'<rect x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="8" fill="{_PAPER}" '
            f'stroke="{_EDGE}"/>',
            *head,
            *parts,
            "</svg>\n",
        ]
    )


def _bar(run: Run, name: str, pipe: str, y: int, most: float) -> list[str]:
    speed = _rows_per_second(run, name)
    length = round(speed / most * (_WIDTH - _LEFT - _RIGHT), 1)
    is_ours = name.startswith("shardload")
    ratio = f" ({_seconds(run, pipe) / _seconds(run, name):.2f} ×)"
    weight, color = ("600", _OURS) if is_ours else ("400", _OTHERS)
    return [
        _text(_LEFT - 10, y + 17, name.partition(", --")[0], 13, weight=weight, anchor="end"),
        f'<rect x="{_LEFT}" y="{y}" width="{length}" height="{_BAR}" rx="3" fill="{color}"/>',
        _text(_LEFT + length + 8, y + 17, f"{speed:,.0f}{ratio}", 13, weight=weight),
    ]


def _text(
    x: float, y: float, words: str, size: int, *, color: str = _INK, weight: str = "400", anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" {_FONT} font-size="{size}" font-weight="{weight}" fill="{color}" '
        f'text-anchor="{anchor}">{escape(words)}</text>'
    )


if __name__ == "__main__":
    draw(load())
