"""The figures of a run, as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from extend_pipeline.base.units import from_micros
from extend_pipeline_tests.chaos.homes import ACCOUNTS, CAPPED, CAPPED_TOTAL, GATEWAY_EXPOSURE, LUMA_A_DAY
from extend_pipeline_tests.chaos.naive.run import Naive
from extend_pipeline_tests.chaos.processes.worker_pool import PAST_THE_LEASE, Counters
from extend_pipeline_tests.chaos.run import Chaos


def chaos_table(run: Chaos) -> str:
    """Everything that a run of the pipeline showed."""
    waiting = Counter(video.blocker.reason.value for video in run.waiting if video.blocker)
    others = [video for video in run.waiting if video.account != CAPPED]
    rows = [
        ("seed", str(run.seed)),
        ("storm", f"{run.took_s['storm']:.0f} s, then calm for {run.took_s['calm']:.0f} s"),
        *_of_counters(run.counters),
        ("the operator", listed(run.operator)),
        ("charges", f"{run.end.charges}, {run.in_the_storm} of them in the storm"),
        ("double charges", str(run.end.doubles)),
        ("charges neither in the ledger nor in doubt", str(len(run.end.lost) + len(run.end.late))),
        ("  the same, in the storm", f"{sum(len(c.lost) for c in run.checks)} in {len(run.checks)} looks"),
        ("settled for tasks = the charge book", _settled(run)),
        (f"most committed by {CAPPED}", f"{from_micros(run.peaks.total[CAPPED])} of {CAPPED_TOTAL}"),
        ("most committed by luma on a day", f"{_luma(run)} of {LUMA_A_DAY}"),
        ("most exposed at kling-gateway", f"{from_micros(run.peaks.exposed['kling-gateway'])} of {GATEWAY_EXPOSURE}"),
        ("attempts", listed(run.reckoning.states)),
        ("videos", listed(run.videos)),
        ("  that wait for the operator", listed(waiting) or "none"),
        *(("    " + video.key, video.blocker.message) for video in others if video.blocker),
        ("films, each whole", str(run.reckoning.films)),
        ("events replayed", f"{run.events}: 0 differences"),
    ]
    return _written("chaos", rows)


def naive_table(run: Naive) -> str:
    """What the naive client paid."""
    rows = [
        ("seed", str(run.seed)),
        ("storm", f"{run.seconds:g} s"),
        *_of_counters(run.counters),
        ("charges", str(run.end.charges)),
        ("double charges", str(run.end.doubles)),
        ("charges that it doesn't know of", str(len(run.end.lost))),
    ]
    return _written("the naive client in the same storm", rows)


def listed(counts: Mapping[str, int]) -> str:
    """`3 of this, 1 of that`, the most first."""
    return ", ".join(f"{number} {what}" for what, number in Counter(counts).most_common() if number)


def _of_counters(counters: Counters) -> Iterable[tuple[str, str]]:
    counts = counters.counts
    past = counts[PAST_THE_LEASE]
    yield "kills", f"{counters.kills}, {counts['killed at a failpoint']} of them at failpoints"
    yield "stops", f"{counters.stops}, {counts['stopped at a failpoint']} at failpoints, {past} past the lease"
    yield "kills and stops", str(counters.kills + counters.stops)
    yield "faults that struck", f"{counters.faults.total()} of {sum(n > 0 for n in counters.faults.values())} kinds"


def _settled(run: Chaos) -> str:
    sums = run.end.settled
    return ", ".join(f"{name} {sums[name][0]} = {sums[name][1]}" for name in ACCOUNTS if name in sums)


def _luma(run: Chaos) -> str:
    return str(max((from_micros(most) for (name, _), most in run.storm_peaks.day.items() if name == "luma"), default=0))


def _written(title: str, rows: Iterable[tuple[str, str]]) -> str:
    lines = list(rows)
    width = max(len(name) for name, _ in lines)
    return "\n".join([title, *(f"  {name:<{width}}  {value}" for name, value in lines)])
