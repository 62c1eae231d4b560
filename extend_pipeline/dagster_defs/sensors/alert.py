"""alert_sensor: keeps the checks of what waits for a person up to date, and sends alerts of it and of failed runs."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import dagster as dg

from extend_pipeline.alerts.message import FailedRun, Sender, Waiting
from extend_pipeline.alerts.outbox import News, Outbox, compose, deliver
from extend_pipeline.alerts.receivers import receivers_of
from extend_pipeline.base.days import in_zone
from extend_pipeline.base.wording import counted, with_home
from extend_pipeline.config.digest import digest
from extend_pipeline.config.issues import ConfigError
from extend_pipeline.config.load import Configuration
from extend_pipeline.config.model.alerts import Alerts
from extend_pipeline.dagster_defs.checks.ledger import ACCOUNTS_RUN, NOBODY_IS_NEEDED, evaluation
from extend_pipeline.dagster_defs.checks.needs import as_waiting, needs_outcome
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline.dagster_defs.sensors.build import build_sensor
from extend_pipeline.dagster_defs.sensors.failed_runs import Own, failures_after, first_line, newest_failure
from extend_pipeline.engine.guards.process import key_blockers
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.needs import Need, needs_now
from extend_pipeline.engine.status import accounts_now
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.read import queries

STATE_KEY: Final = "extend_pipeline/alerts"
"""The beginning of keys in Dagster's storage: the state of each receiver of a mount. It is no part of the cursor,
because Dagster keeps the cursor of each tick."""

RECEIVERS: Final = ("webhook", "command")

CLOSED_S: Final = 300
"""For so long a home that can't be opened may be a database that starts again, which is reported to no person."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a tick has seen: what waits, evaluations of the checks where their outcome has changed, the cursor for the
    next tick, and a text for the tick. Where the home can't be opened (`is_open`), what else waits is not known."""

    waiting: Sequence[Waiting]
    is_open: bool
    checks: Sequence[dg.AssetCheckEvaluation]
    cursor: str
    text: str


def build_alert_sensor(mount: Mount, own: Own) -> dg.SensorDefinition:
    """Return alert_sensor for a mount. `own` says which runs are of it."""

    def tick(context: dg.SensorEvaluationContext, home: HomeResource, mount: Mount) -> dg.SensorResult:
        look, configuration = _look(context.cursor or "", home, mount)
        parts = [look.text, *_report(context, mount, own, look, configuration)]
        return dg.SensorResult(
            skip_reason=dg.SkipReason("; ".join(parts)), cursor=look.cursor, asset_events=list(look.checks)
        )

    return build_sensor(
        mount,
        "alert_sensor",
        tick,
        interval_s=60,
        description="Evaluates the asset checks nobody_is_needed and accounts_run when what waits for a person has "
        "changed, and sends alerts of it and of failed runs to the webhook and the command under `alerts` in "
        "accounts.yaml.",
    )


def _look(cursor: str, home: HomeResource, mount: Mount) -> tuple[Look, Configuration | None]:
    """Return what waits, and the configuration; None where it can't be read. A home that can't be opened for a while is
    a thing that waits. The cursor is a digest of what the checks depend on, and since when the home can't be opened
    (UTC s), if it can't."""
    before, _, closed = cursor.partition(" ")
    try:
        with home.open() as pipeline:
            needs, timezone = needs_now(pipeline), pipeline.configuration.timezone
            now = _outcome(pipeline, needs)
            checks = []
            if now != before:
                found = needs_outcome(needs, timezone)
                checks = [evaluation(pipeline, mount, NOBODY_IS_NEEDED, found)]
                checks.append(evaluation(pipeline, mount, ACCOUNTS_RUN))
            waiting = [as_waiting(need, pipeline) for need in needs]
            text = f"{counted(len(waiting), 'thing')} waiting for a person" if waiting else "nothing waits for a person"
            return Look(waiting, True, checks, now, text), pipeline.configuration
    except dg.Failure as failure:
        reason = first_line(failure.description or "")
    now_s = int(time.time())
    since_s = int(closed) if closed.isdigit() else now_s
    try:
        configuration = home.configuration()
    except ConfigError:
        configuration = None
    text = f"the home can't be opened: {reason}"
    todo = "extend-pipeline doctor shows what is wrong"
    if configuration is not None:
        todo = with_home(todo, str(configuration.settings.home))
    thing = Waiting(
        ids=("home",), kind="home_closed", message=text, todo=todo, is_urgent=True, sentence=f"{text} → {todo}"
    )
    waiting = [thing] if now_s - since_s >= CLOSED_S else []
    return Look(waiting, False, (), f"{before} {since_s}", text), configuration


def _outcome(pipeline: Pipeline, needs: Sequence[Need]) -> str:
    """Return a digest of what the two checks depend on, without ages."""
    with pipeline.ledger.read() as connection:
        rows = queries.accounts(connection)
    everything = rows.get(tables.ALL_ACCOUNTS)
    accounts = [
        [account.account, account.stopped or "", account.paused, bool(account.silence)]
        for account in accounts_now(pipeline)
    ]
    things = sorted(f"{name} {need.is_urgent}" for need in needs for name in need.ids)
    paused = everything is not None and everything.paused
    return digest([things, accounts, sorted(key_blockers(pipeline, rows)), paused])[:32]


def _report(
    context: dg.SensorEvaluationContext,
    mount: Mount,
    own: Own,
    look: Look,
    configuration: Configuration | None,
) -> list[str]:
    """Send each receiver what it is to get now. Return what happened, as parts of a sentence. The state of a receiver
    that is no longer configured is dropped."""
    if configuration is None:
        return []
    storage = context.instance.daemon_cursor_storage
    key_of = {name: f"{STATE_KEY}/{mount.advance_tag}/{name}" for name in RECEIVERS}
    stored = storage.get_cursor_values(set(key_of.values()))
    receivers, alerts = receivers_of(configuration), configuration.alerts
    unused = key_of.keys() - {receiver.name for receiver in receivers}
    if left := {key_of[name]: "" for name in unused if stored.get(key_of[name])}:
        storage.set_cursor_values(left)
    if alerts is None:
        return []
    sender = Sender(home=str(configuration.settings.home.absolute()), mount="/".join(mount.key_prefix))
    now_s, again_s = int(time.time()), float(alerts.again_after_hours) * 3600
    parts = []
    for receiver in receivers:
        key = key_of[receiver.name]
        outbox = Outbox.loaded(stored.get(key, "")).of_settings(receiver.settings_digest)
        if outbox.pending is None:
            news = _news(context.instance, own, outbox, look, alerts)
            outbox = compose(outbox, news, sender, now_s=now_s, again_after_s=again_s, warnings=alerts.warnings)
        outbox, part = deliver(outbox, receiver, now_s=now_s, save=partial(_save, context.instance, key))
        if outbox.text != stored.get(key):
            _save(context.instance, key, outbox)
        if part:
            parts.append(in_zone(part, configuration.timezone))
    return parts


def _news(instance: dg.DagsterInstance, own: Own, outbox: Outbox, look: Look, alerts: Alerts) -> News:
    failed: Sequence[FailedRun] = ()
    if outbox.runs_after is None or not alerts.failed_runs:
        runs_after = newest_failure(instance)
    else:
        failed, runs_after = failures_after(instance, own, outbox.runs_after, url=alerts.dagster_url)
    return News(waiting=look.waiting, is_whole=look.is_open, failed_runs=failed, runs_after=runs_after)


def _save(instance: dg.DagsterInstance, key: str, outbox: Outbox) -> None:
    instance.daemon_cursor_storage.set_cursor_values({key: outbox.text})
