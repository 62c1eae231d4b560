"""Tasks that another customer made through an account: finished, charged, and asked for by no request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from extend_pipeline.sandbox.config import SandboxError, Seed
from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.store.records import Task

# No order of slots: the customer that made the task had one.
_SLOTS = 10**9
_TEXTS = ("provider", "account", "video_id", "external_task_id", "prompt")


@dataclass(frozen=True, kw_only=True)
class ForeignTask:
    """Another customer's request, `age` seconds ago. None: the first surface, its first account, and a source of its
    own. `external_task_id` is for the surfaces that know such ids."""

    provider: str | None = None
    account: str | None = None
    video_id: str | None = None
    external_task_id: str | None = None
    prompt: str | None = None
    age: float = 0.0


def read_foreign_task(given: object) -> ForeignTask:
    """Read {provider?, account?, video_id?, external_task_id?, prompt?, age? (s)}; SandboxError names what is wrong."""
    if not isinstance(given, Mapping):
        raise SandboxError(f"a foreign task must be an object, got {given!r}")
    unknown = given.keys() - ForeignTask.__dataclass_fields__.keys()
    if unknown:
        known = sorted(ForeignTask.__dataclass_fields__)
        raise SandboxError(f"unknown fields of a foreign task {sorted(unknown)}; known: {known}")
    for name in _TEXTS:
        if given.get(name) is not None and (not isinstance(given[name], str) or not given[name]):
            raise SandboxError(f"{name} of a foreign task must be a non-empty string, got {given[name]!r}")
    age = given.get("age", 0.0)
    if not isinstance(age, int | float) or isinstance(age, bool) or not 0 <= age < 10**9:
        raise SandboxError(f"age of a foreign task must be seconds, 0 or more, got {age!r}")
    texts = {name: str(given[name]) for name in _TEXTS if given.get(name) is not None}
    return ForeignTask(**texts, age=float(age))


def make_foreign_task(core: Core, order: ForeignTask) -> Task:
    """Write the task, its film and its charge; SandboxError if the surface refuses it.

    Faults that are ordered for submits (`odd_deduction`, `fail_task`) strike it as they would any.
    """
    provider = order.provider or next(iter(core.terms))
    if provider not in core.terms:
        raise SandboxError(f"provider must be one of {sorted(core.terms)}, got {provider!r}")
    terms = replace(core.terms[provider], run_time=(0.0, 0.0), slots=_SLOTS, balance=None)
    account = order.account or terms.accounts[0]
    if account not in terms.accounts:
        raise SandboxError(f"the sandbox has no account {account!r} for {provider}, only {list(terms.accounts)}")
    at_ms = core.clock.now_ms() - round(order.age * 1000)
    source = order.video_id or _source(core, provider, account)
    made = core.surfaces[provider].make_foreign(core, terms, order, account, source, at_ms)
    if not isinstance(made, Task):
        raise SandboxError(f"{provider} refuses to extend {source} through {account}: {made}")
    return made


def _source(core: Core, provider: str, account: str) -> str:
    video_id = f"foreign-{provider}-{core.store.next_seq()}"
    core.seed([Seed(video_id=video_id, duration=5.1, provider=provider, account=account)])
    return video_id
