"""The examples at the end of each command's `--help`."""

from collections.abc import Mapping
from typing import Final

EXAMPLES: Final[Mapping[str, tuple[str, ...]]] = {
    "demo": ("demo", "demo --fresh"),
    "dev": ("dev", "dev --port 3001 --fresh"),
    "init": ("init",),
    "sandbox": ("sandbox --seed-file sources.json", "sandbox --port 8791 --run-time 1 3 --balance 100"),
    "doctor": ("doctor", "doctor --offline", "doctor --deep"),
    "plan": ("plan", "plan --measure", "plan --account kling-main", "plan --json > plan.json"),
    "advance": ("advance", "advance --until-idle", "advance --until-idle --max-seconds 600 --video harbour-dawn"),
    "status": ("status", "status --needs-you", "status harbour-dawn", "status --json"),
    "resolve": (
        "resolve harbour-dawn/2 adopt 827942411241803822",
        "resolve harbour-dawn/2 take from-the-provider.mp4",
        "resolve harbour-dawn/2 resubmit --why 'not in the console'",
        "resolve harbour-dawn/2 write-off",
    ),
    "approve": ("approve harbour-dawn --keep", "approve --all --pay --why 'new wording'"),
    "reconcile": (
        "reconcile",
        "reconcile kling-main --invoice november.csv",
        "reconcile kling-main --accept billing/827942411241803822",
    ),
    "ledger": ("ledger accept", "ledger copy --to postgresql://user@host/ledger"),
    "ledger accept": ("ledger accept --why 'restored from the backup of Monday'",),
    "ledger copy": ("ledger copy --to postgresql://user@host/ledger",),
    "pause": ("pause", "pause kling-main --why 'checking the bill'"),
    "resume": ("resume", "resume kling-main"),
    "media": ("media refetch", "media forget harbour-dawn/2"),
    "media refetch": ("media refetch",),
    "media forget": ("media forget harbour-dawn/2", "media forget --all"),
    "alert": ("alert --test",),
    "callbacks": ("callbacks", "callbacks --host 0.0.0.0 --port 8080"),
    "publish": ("publish",),
    "report": ("report", "report --out november.html"),
    "sql": (
        "sql 'FROM cost_by_video'",
        "sql --excel costs.xlsx 'FROM cost_by_day'",
        "sql --csv 'FROM lineage' > lineage.csv",
    ),
}


def epilog(command: str) -> str:
    """Return the end of a command's `--help`: its examples, one a line."""
    lines = [f"  extend-pipeline {line}" for line in EXAMPLES[command]]
    return "\b\nExamples:\n" + "\n".join(lines)
