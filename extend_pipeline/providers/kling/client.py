"""Calls to Kling's official API (docs/upstream/kling.md): tokens, one new token where one was refused, and whose clock
is off."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, TypeVar

from extend_pipeline.providers.http.body import BODY_CAP
from extend_pipeline.providers.http.client import HttpClient
from extend_pipeline.providers.http.results import HttpResult, Reply
from extend_pipeline.providers.http.retry import AttemptResult, RetryPolicy, clock_skew, retry_after, with_retries
from extend_pipeline.providers.http.route import Route
from extend_pipeline.providers.kling.auth import KlingTokens
from extend_pipeline.providers.protocol import Answer, QueryFailed, QueryFault, Rejected, RejectReason, SubmitOutcome
from extend_pipeline.providers.wire.codes import TOKEN_REFUSED
from extend_pipeline.providers.wire.credentials import Bearer, Credentials, SecretFault
from extend_pipeline.providers.wire.transport_outcome import WORTH_REPEATING, classify_query, classify_submit

_SKEW_WORTH_TELLING_S: Final = 3.0
OWN_CLOCK_S: Final = 60.0
"""From so many seconds between our clock and the answer's Date on, a token that is refused for its times is our clock's
fault. The Date only ever keeps something from being sent."""

Q = TypeVar("Q")
Read = Callable[[Reply, tuple[str, ...], float | None], Q]
"""Reads a whole answer; it is also given what must not be written down, and the seconds that Kling asks to be left
alone."""


class KlingClient:
    """One Kling account's calls. Safe to use from several threads; a call blocks for at most its deadline, repeats
    included. `now` is seconds of UTC since 1970. Raises ValueError for a base URL that may not be used (see
    HttpClient).
    """

    def __init__(
        self,
        *,
        base_url: str,
        credentials: Credentials,
        allow_local: bool,
        route: Route,
        post_deadline_s: float,
        get_deadline_s: float,
        now: Callable[[], float],
        retry: RetryPolicy | None,
    ) -> None:
        self._http = HttpClient(base_url, allow_local=allow_local, route=route)
        self._tokens = KlingTokens(credentials, now=now)
        self._post_deadline_s = post_deadline_s
        self._get_deadline_s = get_deadline_s
        self._now = now
        self._retry = retry or RetryPolicy()

    def __repr__(self) -> str:
        return f"KlingClient({self._http!r})"

    def submit(self, path: str, body: Mapping[str, object], read: Read[SubmitOutcome]) -> SubmitOutcome:
        """POST once. Never retried, never redirected; after 1003 / 1004, which say that nothing was made, once more."""
        ends = time.monotonic() + self._post_deadline_s
        first = self._tokens.bearer()
        if isinstance(first, SecretFault):
            return Rejected(RejectReason.NO_KEY, Answer(first.message))
        outcome = self._post(path, body, read, first, self._post_deadline_s)
        if not (isinstance(outcome, Rejected) and self._new_token_may_help(outcome.answer)):
            return outcome
        self._tokens.forget(first)
        left = ends - time.monotonic()
        if left < self._post_deadline_s / 2:
            message = "the token was refused, and too little time was left to send again with a new one"
            return Rejected(RejectReason.UNSENT, Answer(message, raw=outcome.answer.raw))
        second = self._tokens.bearer()
        if isinstance(second, SecretFault):
            return Rejected(RejectReason.NO_KEY, Answer(second.message))
        return self._post(path, body, read, second, left)

    def ask(
        self,
        path: str,
        params: Mapping[str, str | int] | None,
        read: Read[Q],
        cap: int = BODY_CAP,
        *,
        retry: RetryPolicy | None = None,
    ) -> Q | QueryFailed:
        """GET, again within bounds where another try may do better."""
        new_token_left = True

        def once(allowed_s: float) -> AttemptResult[Q | QueryFailed]:
            nonlocal new_token_left
            ends = time.monotonic() + allowed_s
            while True:
                bearer = self._tokens.bearer()
                if isinstance(bearer, SecretFault):
                    return AttemptResult(QueryFailed(QueryFault.NO_KEY, Answer(bearer.message)))
                left = max(ends - time.monotonic(), 0.001)
                result = self._http.get(path, params=params, headers=bearer.headers, deadline_s=left, body_cap=cap)
                attempt = self._read(result, bearer, read)
                refused = isinstance(attempt.outcome, QueryFailed) and self._new_token_may_help(attempt.outcome.answer)
                if not (refused and new_token_left):
                    return attempt
                new_token_left = False
                self._tokens.forget(bearer)

        return with_retries(once, deadline_s=self._get_deadline_s, policy=retry or self._retry)

    def ask_by_post(
        self,
        path: str,
        body: Mapping[str, object],
        read: Read[Q],
        cap: int = BODY_CAP,
    ) -> Q | QueryFailed:
        """A question that Kling wants as a POST: one try, and after 1003 / 1004 one more with a new token."""
        new_token_left = True
        while True:
            bearer = self._tokens.bearer()
            if isinstance(bearer, SecretFault):
                return QueryFailed(QueryFault.NO_KEY, Answer(bearer.message))
            result = self._http.post_json(
                path, body, headers=bearer.headers, deadline_s=self._get_deadline_s, body_cap=cap
            )
            outcome = self._read(result, bearer, read).outcome
            refused = isinstance(outcome, QueryFailed) and self._new_token_may_help(outcome.answer)
            if not (refused and new_token_left):
                return outcome
            new_token_left = False
            self._tokens.forget(bearer)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _post(
        self, path: str, body: Mapping[str, object], read: Read[SubmitOutcome], bearer: Bearer, deadline_s: float
    ) -> SubmitOutcome:
        result = self._http.post_json(path, body, headers=bearer.headers, deadline_s=deadline_s)
        whole = classify_submit(result, bearer.secrets)
        if not isinstance(whole, Reply):
            return whole
        outcome = read(whole, bearer.secrets, retry_after(whole.headers, now=self._now()))
        if not isinstance(outcome, Rejected):
            return outcome
        answer, our_clock = self._with_clock(outcome.answer, whole)
        return replace(outcome, answer=answer, reason=RejectReason.CLOCK if our_clock else outcome.reason)

    def _read(
        self,
        result: HttpResult,
        bearer: Bearer,
        read: Read[Q],
    ) -> AttemptResult[Q | QueryFailed]:
        whole = classify_query(result, bearer.secrets)
        if not isinstance(whole, Reply):
            return whole
        wait = retry_after(whole.headers, now=self._now())
        outcome = read(whole, bearer.secrets, wait)
        if not isinstance(outcome, QueryFailed):
            return AttemptResult(outcome)
        answer, our_clock = self._with_clock(outcome.answer, whole)
        told = replace(outcome, answer=answer, fault=QueryFault.CLOCK if our_clock else outcome.fault)
        return AttemptResult(told, again=outcome.fault in WORTH_REPEATING, retry_after_s=wait)

    def _new_token_may_help(self, answer: Answer) -> bool:
        return self._tokens.mints and answer.code in TOKEN_REFUSED

    def _with_clock(self, answer: Answer, reply: Reply) -> tuple[Answer, bool]:
        """Say by how much the clocks differ, where a token was refused for its times, and whether that is why."""
        skew = clock_skew(reply.headers, now=self._now()) if answer.code in TOKEN_REFUSED else None
        if skew is None or abs(skew) < _SKEW_WORTH_TELLING_S:
            return answer, False
        word = "ahead of" if skew > 0 else "behind"
        message = f"{answer.message} (this machine's clock is {abs(skew):.0f} s {word} Kling's)"
        return replace(answer, message=message), abs(skew) >= OWN_CLOCK_S
