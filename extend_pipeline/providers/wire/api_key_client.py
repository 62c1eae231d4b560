"""Calls for providers that sign in with one API key: submits that go out once, questions that may be repeated."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from extend_pipeline.config.model.account import Account
from extend_pipeline.providers.http.body import BODY_CAP
from extend_pipeline.providers.http.client import HttpClient
from extend_pipeline.providers.http.results import HttpResult, Reply
from extend_pipeline.providers.http.retry import AttemptResult, RetryPolicy, retry_after, with_retries
from extend_pipeline.providers.http.route import DIRECT, Route, route_of
from extend_pipeline.providers.protocol import Answer, QueryFailed, QueryFault, Rejected, RejectReason, SubmitOutcome
from extend_pipeline.providers.spec import Deadlines
from extend_pipeline.providers.wire.credentials import Bearer, SecretFault, SingleKey, credentials_of, read_key
from extend_pipeline.providers.wire.response import RawResponse
from extend_pipeline.providers.wire.transport_outcome import WORTH_REPEATING, classify_query, classify_submit

Q = TypeVar("Q")


class KeyClient:
    """One account's calls. Safe to use from several threads; a call blocks for at most its deadline, repeats included.

    The key is read anew for each call, so that a changed one is used at once. `prefix` goes before it in the
    Authorization header. `now` is seconds of UTC since 1970. Raises ValueError for a base URL that may not be used.
    """

    def __init__(
        self,
        *,
        base_url: str,
        key: SingleKey,
        prefix: str = "Bearer ",
        allow_local: bool = False,
        route: Route = DIRECT,
        post_deadline_s: float = 60.0,
        get_deadline_s: float = 30.0,
        now: Callable[[], float] = time.time,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._http = HttpClient(base_url, allow_local=allow_local, route=route)
        self._key = key
        self._prefix = prefix
        self._post_deadline_s = post_deadline_s
        self._get_deadline_s = get_deadline_s
        self._now = now
        self._retry = retry or RetryPolicy()

    def __repr__(self) -> str:
        return f"KeyClient({self._http!r})"

    def submit(
        self, path: str, body: Mapping[str, object], read: Callable[[RawResponse], SubmitOutcome]
    ) -> SubmitOutcome:
        """POST once. Never retried, never redirected; `read` says what a whole answer means."""
        bearer = read_key(self._key, prefix=self._prefix)
        if isinstance(bearer, SecretFault):
            return Rejected(RejectReason.NO_KEY, Answer(bearer.message))
        result = self._http.post_json(path, body, headers=bearer.headers, deadline_s=self._post_deadline_s)
        whole = classify_submit(result, bearer.secrets)
        return read(self._heard(whole, bearer)) if isinstance(whole, Reply) else whole

    def get(
        self, path: str, params: Mapping[str, str | int] | None, read: Callable[[RawResponse], Q]
    ) -> Q | QueryFailed:
        """Ask by GET, repeated within bounds."""

        def call(bearer: Bearer, left_s: float) -> HttpResult:
            return self._http.get(path, params=params, headers=bearer.headers, deadline_s=left_s)

        return self._ask(call, read)

    def ask_by_post(
        self, path: str, body: Mapping[str, object], read: Callable[[RawResponse], Q], *, body_cap: int = BODY_CAP
    ) -> Q | QueryFailed:
        """Ask by POST, repeated like a GET. Only for a question that makes and charges nothing: for such a one a
        repeat that was not needed costs one request and nothing else."""

        def call(bearer: Bearer, left_s: float) -> HttpResult:
            return self._http.post_json(path, body, headers=bearer.headers, deadline_s=left_s, body_cap=body_cap)

        return self._ask(call, read)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _ask(self, call: Callable[[Bearer, float], HttpResult], read: Callable[[RawResponse], Q]) -> Q | QueryFailed:
        def once(allowed_s: float) -> AttemptResult[Q | QueryFailed]:
            bearer = read_key(self._key, prefix=self._prefix)
            if isinstance(bearer, SecretFault):
                return AttemptResult(QueryFailed(QueryFault.NO_KEY, Answer(bearer.message)))
            return self._read(call(bearer, allowed_s), bearer, read)

        return with_retries(once, deadline_s=self._get_deadline_s, policy=self._retry)

    def _read(
        self, result: HttpResult, bearer: Bearer, read: Callable[[RawResponse], Q]
    ) -> AttemptResult[Q | QueryFailed]:
        whole = classify_query(result, bearer.secrets)
        if not isinstance(whole, Reply):
            return whole
        raw = self._heard(whole, bearer)
        outcome = read(raw)
        again = isinstance(outcome, QueryFailed) and outcome.fault in WORTH_REPEATING
        return AttemptResult(outcome, again=again, retry_after_s=raw.retry_after_s)

    def _heard(self, reply: Reply, bearer: Bearer) -> RawResponse:
        wait = retry_after(reply.headers, now=self._now())
        return RawResponse(reply.status, reply.body, bearer.secrets, wait)


def key_client(
    account: Account, settings: Deadlines, now: Callable[[], float], *, prefix: str = "Bearer "
) -> KeyClient:
    """Return the client of an account. Raises ValueError for an account that has no single key."""
    key = credentials_of(account)
    if not isinstance(key, SingleKey):
        raise ValueError(f"account {account.name}: {account.provider} signs in with one key: give it as api_key_env")
    return KeyClient(
        base_url=account.base_url,
        key=key,
        prefix=prefix,
        allow_local=account.allow_local,
        route=route_of(account),
        post_deadline_s=settings.post_deadline_s,
        get_deadline_s=settings.get_deadline_s,
        now=now,
    )
