"""`demo`: extend eleven videos in the sandbox with a real Dagster instance; `dev`: run the same with Dagster's UI."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

import click

from extend_pipeline.commands.demo import home as demo_home
from extend_pipeline.commands.demo.processes import Child, end_children_too, is_up, wait_for
from extend_pipeline.commands.demo.report import print_report, sandbox_units
from extend_pipeline.commands.render.home import home_option, use_home, with_home_option
from extend_pipeline.commands.render.output import say
from extend_pipeline.commands.render.progress import progress
from extend_pipeline.commands.shared.options import Seconds

if TYPE_CHECKING:
    from extend_pipeline.engine.home import Pipeline

UI_PORT: Final = 3000
LOOK_S: Final = 0.5


@click.command()
@click.option(
    "--max-seconds", type=Seconds(above_zero=True), default=220, show_default=True, help="Give up after this time."
)
@click.option("--fresh", is_flag=True, help="Begin anew, and remove the films and the ledger of the demo before.")
def demo(max_seconds: float, fresh: bool) -> None:
    """Extend eleven videos in the sandbox with a real Dagster, and show the progress.

    Sandbox, Dagster daemon, sensors and runs do the work, which costs nothing. It ends when all videos are done. The
    next demo continues with the state of this one. Its home is data/demo in the current folder, or that of --home;
    an empty one gets the demo's files first.
    """
    from extend_pipeline.engine.home import open_home

    chosen = demo_home.find(home_option())
    end_children_too()
    os.environ.update(chosen.environment())
    began = time.monotonic()
    with (
        demo_home.prepared(chosen, verb="demo", fresh=fresh) as lock,
        demo_home.sandbox(chosen, lock) as sandbox,
        demo_home.dagster(chosen, lock, "dagster-daemon", "run") as daemon,
        open_home(chosen.settings) as pipeline,
    ):
        say(f"sandbox at {chosen.url}, Dagster instance in {chosen.dagster_home}; logs in {chosen.logs}")
        if not fresh and chosen.settings.warehouse_path.exists():
            say(f"it continues with {chosen.state}; demo --fresh removes that and begins anew")
        finished = _watch(pipeline, [sandbox, daemon], until=began + max_seconds)
        if finished:
            _wait_for_runs(daemon, until=began + max_seconds)
        charged = sandbox_units(chosen.url)
        use_home(chosen.settings.home)
        consistent = print_report(pipeline, charged=charged, seconds=time.monotonic() - began)
    if not finished:
        raise click.ClickException(f"not done within {max_seconds:g} s; the logs are in {chosen.logs}")
    if not consistent:
        raise click.ClickException("something does not add up; see above")
    say("")
    command = with_home_option("extend-pipeline dev")
    say(f"To see this in Dagster's UI: {command} (make dev in a checkout), then http://127.0.0.1:{UI_PORT}")


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=UI_PORT, show_default=True, help="Port of the UI.")
@click.option("--fresh", is_flag=True, help="Begin with an empty state.")
def dev(port: int, fresh: bool) -> None:
    """Keep the sandbox and Dagster with its UI running, until Ctrl-C.

    Its home is that of the demo.
    """
    chosen = demo_home.find(home_option())
    end_children_too()
    try:
        with (
            demo_home.prepared(chosen, verb="dev", fresh=fresh, ui_port=port) as lock,
            demo_home.sandbox(chosen, lock) as sandbox,
            demo_home.dagster(chosen, lock, "dagster-webserver", "-h", "127.0.0.1", "-p", str(port)) as webserver,
        ):
            url = f"http://127.0.0.1:{port}"
            wait_for(lambda: is_up(f"{url}/server_info"), child=webserver, what="the UI", seconds=90)
            # only now, because two programs that make the files of a new DAGSTER_HOME at the same time can both fail
            with demo_home.dagster(chosen, lock, "dagster-daemon", "run") as daemon:
                say(f"sandbox {chosen.url}    UI {url}    logs {chosen.logs}    Ctrl-C ends all three")
                while True:
                    for child in (sandbox, webserver, daemon):
                        child.check()
                    time.sleep(LOOK_S)
    except KeyboardInterrupt:
        say("ended")


def _watch(pipeline: Pipeline, children: list[Child], *, until: float) -> bool:
    """Show the progress until every video is complete or needs an operator; return False if the time was up first."""
    from extend_pipeline.engine.status import status

    with progress(pipeline.accounts, watches=True) as screen:
        while True:
            plan = status(pipeline).plan
            screen.show_plan(plan)
            if any(video.hops_done for video in plan.videos) and not plan.unfinished:
                return True
            if time.monotonic() > until:
                return False
            for child in children:
                child.check()
            time.sleep(LOOK_S)


def _wait_for_runs(daemon: Child, *, until: float) -> None:
    """Wait until the instance has no unfinished run, so that its last tables are published."""
    from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

    open_ = [DagsterRunStatus.QUEUED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.NOT_STARTED]
    with DagsterInstance.get() as instance:
        wait_for(
            lambda: not instance.get_run_records(RunsFilter(statuses=open_), limit=1),
            child=daemon,
            what="the end of the last run",
            seconds=max(1.0, until - time.monotonic()),
        )
