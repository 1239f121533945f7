"""What the guards decide: pure, measurement by measurement."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from shardload.config.guards import GuardSpec, as_source, is_within
from shardload.config.urls import parse_mysql, parse_redis
from shardload.coordinator.gauges import Gauges, Measured
from shardload.coordinator.guards import Guards, Verdict
from shardload.coordinator.pace import Pace
from shardload.coordinator.sentry import Sentry
from shardload.model.figures import Figures, NodeFigures
from shardload.model.projection import NodeMemory
from shardload.reporting.progress import Progress

GIB = 2**30


def spec_of(**settings: Any) -> GuardSpec:
    """As a person writes them."""
    return GuardSpec(**settings)


def node(**figures: Any) -> Figures:
    """A measurement of one Redis."""
    memory = {"used_bytes": figures.pop("used_bytes", 0), "limit_bytes": figures.pop("most_bytes", None)}
    memory |= {"keys": figures.pop("keys", 0), "limit": "maxmemory"}
    return Figures(nodes=(NodeFigures(NodeMemory("r:1", **memory), **figures),))


def decided(spec: GuardSpec, figures: Sequence[Figures | None], **more: Any) -> list[Verdict]:
    """The verdicts on one measurement after the other."""
    guards = Guards(spec)
    told = {"minute": 0, "is_held": False, "rows_per_second": 1000.0, "share": 0.5} | more
    return [guards.decide(one, **told) for one in figures]


@pytest.mark.parametrize(
    ("spec", "bad", "reason"),
    [
        (
            {"max_load": "Threads_running=25"},
            Figures({"Threads_running": 26}),
            "Threads_running is 26, and --max-load 25",
        ),
        ({"max_lag_millis": 900, "replica": ["r"]}, Figures(lags_ms={"r": 1000}), "1,000 ms behind"),
        ({"max_lag_millis": 900, "replica": ["r"]}, Figures(lags_ms={"r": None}), "is not known: does it replicate?"),
        ({}, node(used_bytes=GIB - 1000, most_bytes=GIB), "--keep-free 10%"),
        ({"keep_free": "50%"}, node(used_bytes=GIB // 2 + 1, most_bytes=GIB), "--keep-free 50%"),
        ({"on_eviction": "ignore"}, node(used_bytes=GIB, most_bytes=GIB), "maxmemory, or resume with --keep-free off"),
        ({"while_saving": "pause"}, node(is_saving=True), "is saving"),
    ],
)
def test_a_bad_figure_pauses(spec: dict[str, Any], bad: Figures, reason: str) -> None:
    """At once; and the job goes on when it was good twice in a row."""
    good = Figures(lags_ms={"r": 0})
    verdicts = decided(GuardSpec(**spec), [good, bad, good, bad, good, good])
    assert [bool(verdict.pause) for verdict in verdicts] == [False, True, True, True, True, False]
    assert reason in verdicts[1].pause
    assert not any(verdict.stop or verdict.rate_rows for verdict in verdicts)


@pytest.mark.parametrize(
    ("spec", "figures"),
    [
        ({"keep_free": "off"}, node(used_bytes=GIB, most_bytes=GIB)),
        ({}, node(used_bytes=GIB, most_bytes=0)),
        ({"on_eviction": "ignore"}, node(evicted_keys=5)),
        ({"max_load": "off"}, Figures({"Threads_running": 10**6})),
        ({}, node(is_saving=True, latency_ms=500.0)),
        ({"max_load": "Threads_running=25"}, Figures(troubles=("MySQL does not answer",))),
    ],
)
def test_what_is_off_or_unknown_does_nothing(spec: dict[str, Any], figures: Figures) -> None:
    """A guard that is off, or without its figure."""
    verdicts = decided(GuardSpec(**spec), [Figures(), figures, figures])[1:]
    assert not any(one.pause or one.stop or one.rate_rows for one in verdicts)


def test_evictions_and_a_critical_load_stop() -> None:
    """Keys that were evicted before the job do not count, nor does a server that begins again at 0."""
    verdicts = decided(GuardSpec(), [node(evicted_keys=5), node(evicted_keys=5), node(), node(evicted_keys=2)])
    assert [bool(one.stop) for one in verdicts] == [False, False, False, True]
    assert "evicts keys: 2 since" in verdicts[-1].stop
    critical = decided(spec_of(critical_load="Threads_running=9"), [Figures({"Threads_running": 10})])
    assert "--critical-load 9" in critical[0].stop


def test_the_rate_is_found_and_lifted() -> None:
    """Half as much more each second until it is near the bound; then much less at once, and a little more each second.
    A limit that limits nothing goes."""
    pace = Pace(0.005)
    rates = []
    for latency_ms in [1.0, 1.0, 3.0, 8.0, 8.0, *[1.0] * 12]:
        pace.adapt(latency_ms, pace.rows)  # a job that could do more
        rates.append(pace.rows)
    assert rates[:3] == [15_000, 22_500, 23_625]
    assert rates[3:6] == pytest.approx([14_175, 8_505, 8_505 + 23_625 / 20])
    assert rates[4:] == sorted(rates[4:])
    for _ in range(3):
        assert pace.rows
        pace.adapt(1.0, 10_000.0)
    assert (pace.rows, pace.why) == (0, "")
    pace.adapt(8.0, 10_000.0)
    assert pace.rows == 6_000
    assert "a PING takes 8.0 ms, and --max-latency 5 ms" in pace.why


def test_a_rate_stays_within_reason() -> None:
    """It never comes to nothing; a paused job and a Redis that was not measured change nothing."""
    pace = Pace(0.005)
    pace.adapt(None, 1000.0)
    pace.adapt(1.0, 0.0)
    assert pace.rows == Guards(spec_of(max_latency="5ms")).first().rate_rows == 10_000
    for _ in range(40):
        pace.adapt(8.0, 100.0)
    assert pace.rows == 50
    without = Pace(None)
    without.adapt(1000.0, 1000.0)
    assert without.rows == 0


def test_the_end_is_foreseen() -> None:
    """From what keys have really used: said once, and again if it became better and worse; tables are counted."""
    mib = 2**20

    def measured(keys: int, used: int, most: int) -> Figures:
        return node(keys=keys, used_bytes=used, most_bytes=most)

    guards = Guards(spec_of())
    told: list[str] = []
    for keys, used, most, share in (
        (0, mib, 100 * mib, 0.0),
        (100_000, 21 * mib, 100 * mib, 0.01),  # too early to tell
        (100_000, 21 * mib, 100 * mib, 0.1),
        (150_000, 31 * mib, 100 * mib, 0.15),
        (200_000, 41 * mib, 300 * mib, 0.2),
        (250_000, 51 * mib, 100 * mib, 0.25),
    ):
        figures = measured(keys, used, most)
        told += guards.decide(figures, minute=0, is_held=False, rows_per_second=1.0, share=share).troubles
    assert len(told) == 2
    assert all("Redis r:1 will need about" in one and "and has 100 MiB: raise its maxmemory" in one for one in told)
    assert 195 < int(told[0].split("about ")[1].split(" ")[0]) < 230  # 1 + 200 MiB, and the old table meanwhile


def test_a_file_and_a_window() -> None:
    """Without any measurement."""
    held = decided(spec_of(pause_while_exists="/tmp/x"), [None], is_held=True)
    assert held[0].pause == "/tmp/x exists"
    night = spec_of(window="22:00-06:00")
    assert [bool(decided(night, [None], minute=60 * hour)[0].pause) for hour in (21, 22, 0, 5, 6)] == [1, 0, 0, 0, 1]
    assert is_within((0, 60), 0)
    assert not is_within((0, 60), 60)


def test_looks_at_file_and_clock_measure_nothing() -> None:
    """They neither end a figure's pause nor lengthen it, nor do they change the rate; a figure's pause is counted while
    the file is there, too."""
    spec = spec_of(max_load="Threads_running=25", max_latency="5ms", pause_while_exists="/tmp/x")
    bad, good = Figures({"Threads_running": 26}), Figures({"Threads_running": 1})
    guards, told = Guards(spec), {"minute": 0, "rows_per_second": 0.0, "share": 0.5}
    looks = [bad, None, None, None, good, None, None, good, None]
    verdicts = [guards.decide(one, is_held=False, **told) for one in looks]  # type: ignore[arg-type]
    assert [bool(one.pause) for one in verdicts] == [True] * 7 + [False] * 2
    assert {one.rate_rows for one in verdicts} == {10_000}
    held = [guards.decide(one, is_held=True, **told).pause for one in (None, bad, None, good, good)]  # type: ignore[arg-type]
    assert set(held) == {"/tmp/x exists"}
    assert not guards.decide(None, is_held=False, **told).pause  # type: ignore[arg-type]


def test_a_server_that_does_not_answer_ends_no_pause() -> None:
    """Nor does it begin one. One that refuses to say a figure does: its guard steps aside."""
    bad, lost = Figures({"Threads_running": 26}), Figures(troubles=("it is lost",), is_whole=False)
    refused = replace(lost, is_whole=True)
    spec = spec_of(max_load="Threads_running=25")
    figures = [lost, lost, bad, lost, refused, lost, lost, refused]
    verdicts = decided(spec, figures)
    assert [bool(one.pause) for one in verdicts] == [False, False, True, True, True, True, True, False]
    assert {one.troubles for one in verdicts} == {("it is lost",), ()}
    assert Figures.from_json(json.loads(json.dumps(dataclasses.asdict(lost)))) == lost


def test_each_node_is_compared_with_its_last_measurement() -> None:
    """Also while another reason makes the job wait: what came meanwhile did not come within one second."""
    mib = 2**20
    guards = Guards(spec_of(max_load="Threads_running=25"))

    def paused(threads: int, used: int) -> str:
        figures = Figures({"Threads_running": threads}, nodes=node(used_bytes=used * mib, most_bytes=100 * mib).nodes)
        return guards.decide(figures, minute=0, is_held=False, rows_per_second=1.0, share=0.5).pause

    told = [paused(26 if 10 < used < 70 else 1, used) for used in (10, 20, 30, 40, 50, 60, 70, 71)]
    assert [bool(one) for one in told] == [False, *[True] * 6, False]
    assert not any("--keep-free" in one for one in told)


@dataclass
class Held:
    """What a sentry asks of `Controls`."""

    held_for: str = ""
    rates: list[int] = field(default_factory=list)

    def hold(self, reason: str) -> None:
        """Pause, or go on."""
        self.held_for = reason

    def set_guard_rate(self, rows: int, _why: str) -> None:
        """Limit the rate."""
        self.rates.append(rows)


@contextmanager
def watched(
    spec: GuardSpec, rows: Callable[[], int]
) -> Iterator[tuple[Sentry, Held, Callable[[Figures | None], None]]]:
    """A sentry, what it did, and who tells it a measurement through the pipe."""
    redis, mysql = parse_redis("redis://r/0"), parse_mysql("mysql://u@m/d")
    gauges = Gauges(Measured(spec, mysql, (), redis), fork=lambda _body, _keep: 0, end=lambda _pid: None)

    def tell(figures: Figures | None) -> None:
        told = None if figures is None else dataclasses.asdict(figures)
        os.write(gauges.descriptors()[1], json.dumps(told).encode() + b"\n")

    context: Any = SimpleNamespace(gauges=gauges, note_event=lambda _text: None)
    controls: Any = Held()
    try:
        yield Sentry(context, controls, lambda: Progress(0.5, rows(), 0.0, None, 1, 0)), controls, tell
    finally:
        gauges.close()


def test_the_rate_is_that_between_two_measurements() -> None:
    """With a look at the file just before one comes."""
    now_s, rows = 100.0, 0
    with watched(spec_of(max_latency="5ms", pause_while_exists="/nowhere"), lambda: rows) as (sentry, controls, tell):
        for _ in range(3):
            now_s, rows = now_s + 1.1, rows + 9_000
            sentry.look(now_s)
            now_s += 0.001
            tell(node(latency_ms=1.0))
            sentry.look(now_s)
        now_s, rows = now_s + 1.1, rows + 9_000
        sentry.look(now_s)
        tell(node(latency_ms=8.0))
        sentry.look(now_s + 0.001)
    assert controls.rates[-1] == pytest.approx(0.6 * 9_000 / 1.101, abs=20)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_load": "Threads_running"}, {"max_load": "a=b"}, {"window": "25:00-26:00"}, {"window": "6-7"},
        {"window": "06:00-06:00"}, {"keep_free": "100%"}, {"keep_free": "much"}, {"max_latency": "0"},
        {"on_eviction": "wait"}, {"max_lag_millis": 5}, {"replica": "r:3306"}, {"max_lag_millis": 0, "replica": "r"},
        {"max_lag_millis": 5, "replica": ""}, {"max_lag_millis": 5, "replica": ["r", "off"]},
        {"max_lag_millis": 5, "replica": "off"},
    ],
)  # fmt: skip
def test_bad_settings(wrong: dict[str, Any]) -> None:
    """They are refused."""
    with pytest.raises(ValidationError):
        GuardSpec(**wrong)


@pytest.mark.parametrize(
    ("mysql", "replica", "whole"),
    [
        ("mysql://u:p@m:3307/d", "r1", "mysql://u:p@r1:3307/d"),
        ("mysql://u:p@m:3307/d", "r1:3308", "mysql://u:p@r1:3308/d"),
        ("mysql://u:p@m/d", "mysql://v:q@r1", "mysql://v:q@r1:3306/d"),
        ("mysql://u:p@m/d", "mysql://localhost/?socket=/r.sock", "mysql://u:p@localhost/d?socket=/r.sock"),
        ("mysql://u:p@localhost/d?socket=/m.sock", "r1", "mysql://u:p@r1:3306/d"),
    ],
)
def test_a_replica_lacks_nothing(mysql: str, replica: str, whole: str) -> None:
    """What it does not say is as in --mysql, but for the way to the server."""
    (url,) = spec_of(replica=replica, max_lag_millis=1).replica
    assert as_source(url, parse_mysql(mysql)).with_password() == parse_mysql(whole).with_password()


def test_settings_survive_being_stored() -> None:
    """A resume has the same ones."""
    spec = spec_of(
        max_load="Threads_running=25,Threads_connected=300", window="22:00-06:30", keep_free="5%", max_latency="5ms",
        replica=["mysql://u:secret@r1:3307", "r2"], max_lag_millis=1500,
    )  # fmt: skip
    stored = spec.model_dump(mode="json")
    assert "secret" not in str(stored)
    again = GuardSpec(**stored)
    assert [url.host for url in again.replica] == ["r1", "r2"]
    assert again.model_copy(update={"replica": spec.replica}) == spec
