"""Mistakes that a developer could make in the engine, each as a change of its text and the scenario that must see it.

Each is written so that everything still works as long as nothing goes wrong: what gives it away is money or a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Edit:
    """One replacement in one file below the repository; `old` stands there exactly once."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """A mistake: what it is, how it is made, and the scenarios that find it, quickest first."""

    name: str
    edits: tuple[Edit, ...]
    scenarios: tuple[str, ...]


_SUBMIT: Final = "extend_pipeline/engine/submit/submit.py"
_RECOVER: Final = "extend_pipeline/engine/doubt/recover.py"
_ADVANCE: Final = "extend_pipeline/engine/advance.py"
_CLAIMS: Final = "extend_pipeline/ledger/write/claims.py"
_STORE: Final = "extend_pipeline/media/local_store.py"
_WIRE: Final = "extend_pipeline/providers"

MUTANTS: Final = (
    Mutant(
        "commit after the POST",
        (
            Edit(
                _SUBMIT,
                "sendable, lease_until = _mark_sending(pipeline, group)",
                "sendable, lease_until = list(group), pipeline.now_ms() + int(pipeline.settings.lease_s * 1000)",
            ),
            Edit(
                _SUBMIT,
                '    failpoint("submit.after_post")\n',
                '    failpoint("submit.after_post")\n    _mark_sending(pipeline, [request])\n',
            ),
        ),
        ("kling-gateway/submit.after_post/reset_after@submit", "kling/submit.after_post/reset_after@submit"),
    ),
    Mutant(
        "new id a try",
        (
            Edit(
                "extend_pipeline/engine/submit/prepare.py",
                "hop=step.hop, generation=step.generation, chain_digest=step.chain_digest",
                "hop=step.hop, generation=1000 * step.generation + step.try_no, chain_digest=step.chain_digest",
            ),
        ),
        ("special/long-absence",),
    ),
    Mutant(
        "5xx as rejected",
        (
            Edit(f"{_WIRE}/kling/parse.py", "400 <= status < 500) or", "400 <= status < 600) or"),
            Edit(f"{_WIRE}/wire/codes.py", "5000: CodeRule(None,", "5000: CodeRule(RejectReason.RATE,"),
        ),
        ("kling-gateway/poll.before_query/5xx_after@submit", "kling/poll.before_query/5xx_after@submit"),
    ),
    Mutant(
        "a single 404 as absent",
        (Edit(_RECOVER, "if settled and count >= account.in_doubt.absences:", "if count >= 1:"),),
        ("special/one-absence",),
    ),
    Mutant(
        "POST again when the lease ends",
        (
            Edit(_RECOVER, "if transitions.state_of(tx, row.attempt_id) is S.SENDING:", "if row.state is None:"),
            Edit(_RECOVER, "expect=frozenset({S.CLAIMED})", "expect=frozenset({S.CLAIMED, S.SENDING})"),
            Edit(
                "extend_pipeline/ledger/states.py",
                "S.SENDING: frozenset({S.SUBMITTED,",
                "S.SENDING: frozenset({S.RELEASED, S.SUBMITTED,",
            ),
        ),
        ("kling-gateway/submit.after_post/timeout_after@submit", "kling/submit.after_post/timeout_after@submit"),
    ),
    Mutant(
        "budget outside the transaction",
        (
            Edit(
                _CLAIMS,
                "limits=limits, ledger_accepted=ledger_accepted)",
                "limits=limits, ledger_accepted=ledger_accepted, committed_micros=0, committed_today_micros=0, "
                "in_doubt_micros=0, sending_micros=0)",
            ),
        ),
        ("special/budget-race/kling", "special/budget-race/kling-gateway"),
    ),
    Mutant(
        "release on in_doubt",
        (
            Edit(
                "extend_pipeline/ledger/projection/attempts.py",
                "    set_state(rows, event, S.IN_DOUBT, in_doubt_at=event.at, lease_until=0, **event.data)\n",
                "    set_state(rows, event, S.IN_DOUBT, in_doubt_at=event.at, lease_until=0, **event.data)\n"
                "    release_reservation(rows, event)\n",
            ),
        ),
        ("kling-gateway/submit.after_outcome/reset_after@submit", "kling/submit.after_outcome/reset_after@submit"),
    ),
    Mutant(
        "rename before fsync",
        (
            Edit(
                _STORE,
                '        _sync(file)\n        failpoint("collect.before_rename")\n',
                '        failpoint("collect.before_rename")\n',
            ),
            Edit(
                _STORE,
                '            failpoint("collect.after_rename")\n',
                '            failpoint("collect.after_rename")\n            _sync(file)\n',
            ),
        ),
        ("special/power-cut/kling/collect.after_rename@1", "special/power-cut/luma/collect.after_rename@3"),
    ),
    Mutant(
        "trust the callback's body",
        (
            Edit(
                "extend_pipeline/engine/doubt/callback_lookup.py",
                "mismatch = mismatch_reason(attempt, view, task_id=task_id, post_deadline_ms=deadline_ms)",
                'mismatch = ""',
            ),
        ),
        ("special/forged-callback",),
    ),
    Mutant(
        "wait for a clock that was ahead",
        (
            Edit(
                "extend_pipeline/ledger/write/hints/job_queue.py",
                "_SCHEDULE.c.due_at > ends_ms),",
                "(_SCHEDULE.c.due_at > ends_ms) & (_SCHEDULE.c.tries < 0)),",
            ),
            Edit(
                "extend_pipeline/ledger/write/hints/job_queue.py",
                "turn.first_ms <= self.now_ms or turn.last_ms > self.now_ms + TOLERANCE_MS + wait_ms",
                "turn.first_ms <= self.now_ms",
            ),
        ),
        ("special/clock-ahead/luma", "special/clock-ahead/kling"),
    ),
    Mutant(
        "rest for a clock that was ahead",
        (
            Edit(
                "extend_pipeline/ledger/clock.py",
                "return now_ms < until_ms <= now_ms + longest_ms + TOLERANCE_MS",
                "return now_ms < until_ms",
            ),
        ),
        ("special/clock-ahead/kling-gateway", "special/clock-ahead/kling"),
    ),
    Mutant(
        "tomorrow's claims are free today",
        (
            Edit(
                "extend_pipeline/ledger/read/budget_days.py",
                "totals[name] += _made_today(connection, name, ahead, begins_ms)",
                "totals[name] += 0",
            ),
        ),
        ("special/budget-of-tomorrow/vidu", "special/budget-of-tomorrow/kling"),
    ),
    Mutant(
        "claim without asking for the ledger",
        (
            Edit(
                _SUBMIT,
                "ledger_accepted=look_inside(home, pipeline.ledger, tx.connection).may_spend,",
                "ledger_accepted=home is not None,",
            ),
        ),
        ("special/ledger-changed-meanwhile",),
    ),
    Mutant(
        "remember the ledger, and never compare",
        (
            Edit(
                "extend_pipeline/engine/guards/ledger_verdict.py",
                "    if not memory.bought:\n        return Kind.NOTHING_BOUGHT\n    return Kind.OTHER",
                "    if facts.head.ledger_id:\n        return Kind.NOTHING_BOUGHT\n    return Kind.OTHER",
            ),
        ),
        ("special/other-ledger",),
    ),
    Mutant(
        "follow redirects",
        (
            Edit(
                f"{_WIRE}/http/client.py",
                "    response = _open(transport, request, deadline)\n",
                "    response = _open(transport, request, deadline)\n"
                "    if isinstance(response, httpx.Response) and response.is_redirect:\n"
                "        response.close()\n"
                "        response = _open(transport, request, deadline)\n",
            ),
        ),
        ("kling-gateway/poll.before_query/redirect+after@submit", "vidu/poll.before_query/redirect+after@submit"),
    ),
    Mutant(
        "a mistake ends the work",
        (
            Edit(
                "extend_pipeline/engine/dispatch.py",
                "            self._start_due()\n",
                "            if not self.pipeline.configuration.problems:\n                self._start_due()\n",
            ),
        ),
        ("special/wrong-files/kling", "special/wrong-files/vidu"),
    ),
    Mutant(
        "videos withdrawn by a mistake",
        (
            Edit(
                _ADVANCE,
                "    if pipeline.configuration.problems:\n        return nothing\n",
                "",
            ),
        ),
        ("special/wrong-files/kling", "special/wrong-files/luma"),
    ),
    Mutant(
        "submits in spite of a mistake",
        (
            Edit(
                "extend_pipeline/engine/home.py",
                "        if self.configuration.problems:\n            return {}\n",
                "",
            ),
            Edit(
                "extend_pipeline/engine/guards/process.py", "    if not problems:\n", "    if problems is not None:\n"
            ),
        ),
        ("special/wrong-files/kling", "special/wrong-files/kling-gateway"),
    ),
    Mutant(
        "a new name buys again",
        (
            Edit(
                "extend_pipeline/engine/plan/duplicates.py",
                "duplicate = next((d for d in others if not video.again or _is_removed(d, plan_input, named)), None)",
                "duplicate = None",
            ),
            Edit(_CLAIMS, "if not request.buys_again and _bought_by_another(seen, request):", "if request.buys_again:"),
        ),
        ("special/new-key/kling", "special/new-key/luma"),
    ),
    Mutant(
        "an edit buys again",
        (Edit("extend_pipeline/engine/plan/hop_names.py", 'if on_change == "ask":', 'if on_change == "never":'),),
        ("special/edit/vidu", "special/edit/kling"),
    ),
)


def problems(mutant: Mutant, text_of: dict[str, str]) -> list[str]:
    """Why a mutant can't be made of the code as it stands, in sentences. `text_of` is each file's text."""
    issues = []
    for edit in mutant.edits:
        count = text_of[edit.file].count(edit.old)
        if count != 1:
            issues.append(f"{mutant.name}: {edit.file} has {count} times {edit.old!r}; it must be there once")
    return issues
