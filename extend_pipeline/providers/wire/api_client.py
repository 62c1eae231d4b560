"""Call one account's API: send a submit once, repeat a query within limits."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Self, TypeVar

from extend_pipeline.config.model.account import Account
from extend_pipeline.config.settings import Settings
from extend_pipeline.providers.http.body import BODY_CAP
from extend_pipeline.providers.http.client import HttpClient
from extend_pipeline.providers.http.results import HttpResult, Reply
from extend_pipeline.providers.http.retry import AttemptResult, RetryPolicy, retry_after, with_retries
from extend_pipeline.providers.http.route import DIRECT, Route, route_of
from extend_pipeline.providers.protocol import Answer, QueryFailed, QueryFault, Rejected, RejectReason, SubmitOutcome
from extend_pipeline.providers.wire.credentials import Auth, Credential, SecretFault
from extend_pipeline.providers.wire.response import RawResponse
from extend_pipeline.providers.wire.transport_outcome import WORTH_REPEATING, classify_query, classify_submit

Q = TypeVar("Q")


class ApiClient:
    """One account's calls. Safe to use from several threads; a call blocks for at most its deadline (seconds), repeats
    included.

    `auth` returns the header of each request, so that a changed key is used at once. `retry` limits the repeats of a
    query that has no policy of its own. `now` returns seconds of UTC since 1970. Raises ValueError for a base URL that
    HttpClient refuses.
    """

    def __init__(
        self,
        *,
        base_url: str,
        auth: Auth,
        allow_local: bool = False,
        route: Route = DIRECT,
        post_deadline_s: float = 60.0,
        get_deadline_s: float = 30.0,
        now: Callable[[], float] = time.time,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._http = HttpClient(base_url, allow_local=allow_local, route=route)
        self._auth = auth
        self._post_deadline_s = post_deadline_s
        self._get_deadline_s = get_deadline_s
        self._now = now
        self.retry = retry or RetryPolicy()

    @classmethod
    def of(cls, account: Account, settings: Settings, auth: Auth, now: Callable[[], float]) -> Self:
        """Return the client of an account. Sends nothing."""
        return cls(
            base_url=account.base_url,
            auth=auth,
            allow_local=account.allow_local,
            route=route_of(account),
            post_deadline_s=settings.post_deadline_s,
            get_deadline_s=settings.get_deadline_s,
            now=now,
        )

    def __repr__(self) -> str:
        return f"ApiClient({self._http!r})"

    def submit(
        self, path: str, body: Mapping[str, object], read: Callable[[RawResponse], SubmitOutcome]
    ) -> SubmitOutcome:
        """POST once, without retry or redirect; `read` classifies a complete response.

        One exception: a response that refuses the credential means that no task was made, so the POST is sent a second
        and last time if `auth` has a new credential and at least half of the deadline is left.
        """
        ends = time.monotonic() + self._post_deadline_s
        first = self._auth.credential()
        if isinstance(first, SecretFault):
            return Rejected(RejectReason.NO_KEY, Answer(first.message))
        outcome = self._post(path, body, read, first, self._post_deadline_s)
        if not (isinstance(outcome, Rejected) and self._auth.renew(first, outcome.answer)):
            return outcome
        left_s = ends - time.monotonic()
        if left_s < self._post_deadline_s / 2:
            message = "the token was refused, and too little time was left to send the request with a new one"
            return Rejected(RejectReason.UNSENT, Answer(message, raw=outcome.answer.raw))
        second = self._auth.credential()
        if isinstance(second, SecretFault):
            return Rejected(RejectReason.NO_KEY, Answer(second.message))
        return self._post(path, body, read, second, left_s)

    def query(
        self,
        path: str,
        read: Callable[[RawResponse], Q],
        *,
        params: Mapping[str, str | int] | None = None,
        body: Mapping[str, object] | None = None,
        body_cap: int = BODY_CAP,
        retry: RetryPolicy | None = None,
    ) -> Q | QueryFailed:
        """Query by GET, or by POST if there is a `body`, repeated within the limits of `retry`. A POST only for a query
        that creates and charges nothing, because a repeat may reach the upstream twice."""

        def call(credential: Credential, left_s: float) -> HttpResult:
            headers = credential.headers
            if body is None:
                return self._http.get(path, params=params, headers=headers, deadline_s=left_s, body_cap=body_cap)
            return self._http.post_json(path, body, headers=headers, deadline_s=left_s, body_cap=body_cap)

        renewal_left = True

        def attempt(allowed_s: float) -> AttemptResult[Q | QueryFailed]:
            nonlocal renewal_left
            ends = time.monotonic() + allowed_s
            while True:
                credential = self._auth.credential()
                if isinstance(credential, SecretFault):
                    return AttemptResult(QueryFailed(QueryFault.NO_KEY, Answer(credential.message)))
                result = self._read(call(credential, max(ends - time.monotonic(), 0.001)), credential, read)
                outcome = result.outcome
                if not (
                    isinstance(outcome, QueryFailed) and renewal_left and self._auth.renew(credential, outcome.answer)
                ):
                    return result
                renewal_left = False

        return with_retries(attempt, deadline_s=self._get_deadline_s, policy=retry or self.retry)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _post(
        self,
        path: str,
        body: Mapping[str, object],
        read: Callable[[RawResponse], SubmitOutcome],
        credential: Credential,
        deadline_s: float,
    ) -> SubmitOutcome:
        result = self._http.post_json(path, body, headers=credential.headers, deadline_s=deadline_s)
        reply = classify_submit(result, credential.secrets)
        if not isinstance(reply, Reply):
            return reply
        outcome = read(self._raw(reply, credential))
        if not isinstance(outcome, Rejected):
            return outcome
        answer, our_clock = self._auth.check_clock(outcome.answer, reply.headers)
        return replace(outcome, answer=answer, reason=RejectReason.CLOCK if our_clock else outcome.reason)

    def _read(
        self, result: HttpResult, credential: Credential, read: Callable[[RawResponse], Q]
    ) -> AttemptResult[Q | QueryFailed]:
        reply = classify_query(result, credential.secrets)
        if not isinstance(reply, Reply):
            return reply
        raw = self._raw(reply, credential)
        outcome = read(raw)
        if not isinstance(outcome, QueryFailed):
            return AttemptResult(outcome)
        answer, our_clock = self._auth.check_clock(outcome.answer, reply.headers)
        failed = replace(outcome, answer=answer, fault=QueryFault.CLOCK if our_clock else outcome.fault)
        return AttemptResult(failed, again=outcome.fault in WORTH_REPEATING, retry_after_s=raw.retry_after_s)

    def _raw(self, reply: Reply, credential: Credential) -> RawResponse:
        wait_s = retry_after(reply.headers, now=self._now())
        return RawResponse(reply.status, reply.body, credential.secrets, wait_s)
