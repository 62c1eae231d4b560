"""Kling, official (upstream/000, upstream/001): the Provider that talks to it. What answers mean is told by
kling_parse."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar
from urllib.parse import quote

from extend_pipeline.providers.body_buffer import BODY_CAP
from extend_pipeline.providers.credentials import Bearer, Credentials, SecretFault
from extend_pipeline.providers.exchange import WORTH_REPEATING, asked, submitted
from extend_pipeline.providers.http import HttpClient
from extend_pipeline.providers.http_results import HttpResult, Reply
from extend_pipeline.providers.kling_body import submit_body
from extend_pipeline.providers.kling_codes import TOKEN_REFUSED
from extend_pipeline.providers.kling_parse import parse_page, parse_query, parse_submit
from extend_pipeline.providers.kling_token import KlingTokens
from extend_pipeline.providers.outcomes import (
    Answer,
    PageOutcome,
    QueryFault,
    QueryOutcome,
    Rejected,
    RejectReason,
    SubmitOutcome,
    SubmitRequest,
    Unanswered,
)
from extend_pipeline.providers.retry import RetryPolicy, Try, clock_skew, retry_after, with_retries

PATH: Final = "/v1/videos/video-extend"
MAX_PAGE: Final = 1000  # upstream/000, "Query Task (List)"
MAX_PAGE_SIZE: Final = 500
# 500 rows with three signed URLs each come to 1-2 MB; the cap of other bodies would refuse every full page.
PAGE_CAP: Final = 8_000_000
_SKEW_WORTH_TELLING_S: Final = 3.0

Q = TypeVar("Q")


class KlingProvider:
    """One Kling account. Safe to use from several threads; blocks for at most the deadline of a call, retries included.

    `now` is seconds of UTC since 1970. Raises ValueError for a base URL that may not be used (see HttpClient).
    """

    can_find = True
    list_page_size = MAX_PAGE_SIZE
    many = 0  # the list is what several tasks are read from

    def __init__(
        self,
        *,
        base_url: str,
        credentials: Credentials,
        allow_local: bool = False,
        post_deadline_s: float = 60.0,
        get_deadline_s: float = 30.0,
        now: Callable[[], float] = time.time,
        retry: RetryPolicy | None = None,
        page_cap: int = PAGE_CAP,
    ) -> None:
        self._http = HttpClient(base_url, allow_local=allow_local)
        self._tokens = KlingTokens(credentials, now=now)
        self._post_deadline_s = post_deadline_s
        self._get_deadline_s = get_deadline_s
        self._now = now
        self._retry = retry or RetryPolicy()
        self._page_cap = page_cap

    def __repr__(self) -> str:
        return f"KlingProvider({self._http!r})"

    def body(self, request: SubmitRequest) -> dict[str, object]:
        """The exact JSON that `submit` sends. Raises ValueError for a request that config should not have let
        through."""
        return submit_body(request)

    def submit(self, request: SubmitRequest) -> SubmitOutcome:
        """POST once. Never retried, never redirected; after 1003 / 1004, which say that nothing was made, once more."""
        body = submit_body(request)
        ends = time.monotonic() + self._post_deadline_s
        first = self._tokens.bearer()
        if isinstance(first, SecretFault):
            return Rejected(RejectReason.AUTH, Answer(first.message))
        outcome = self._post(body, request.external_task_id, first, self._post_deadline_s)
        if not (isinstance(outcome, Rejected) and self._new_token_may_help(outcome.answer)):
            return outcome
        self._tokens.forget(first)
        left = ends - time.monotonic()
        if left < self._post_deadline_s / 2:
            message = "the token was refused, and too little time was left to send again with a new one"
            return Rejected(RejectReason.UNSENT, Answer(message, raw=outcome.answer.raw))
        second = self._tokens.bearer()
        if isinstance(second, SecretFault):
            return Rejected(RejectReason.AUTH, Answer(second.message))
        return self._post(body, request.external_task_id, second, left)

    def query(self, task_id: str) -> QueryOutcome:
        """Look a task up by Kling's id."""
        return self._look_up(task_id, own_key=False)

    def query_many(self, task_ids: Sequence[str]) -> dict[str, QueryOutcome]:
        """Look tasks up one by one."""
        return {task_id: self.query(task_id) for task_id in task_ids}

    def find(self, external_task_id: str) -> QueryOutcome:
        """Look a task up by our own id."""
        return self._look_up(external_task_id, own_key=True)

    def list_page(self, page: int, size: int) -> PageOutcome:
        """One page of the account's tasks. Raises ValueError outside 1 ≤ page ≤ 1000 and 1 ≤ size ≤ 500."""
        if not (1 <= page <= MAX_PAGE and 1 <= size <= MAX_PAGE_SIZE):
            raise ValueError(f"page {page} of {size} rows: Kling has pages 1-{MAX_PAGE} of 1-{MAX_PAGE_SIZE} rows")

        def read(reply: Reply, secrets: tuple[str, ...], wait: float | None) -> PageOutcome:
            return parse_page(reply.status, reply.body, secrets=secrets, retry_after_s=wait)

        return self.ask(PATH, {"pageNum": page, "pageSize": size}, read, self._page_cap)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _look_up(self, task_id: str, *, own_key: bool) -> QueryOutcome:
        if task_id in ("", ".", ".."):
            # as the last part of a path these name something else
            return Unanswered(QueryFault.MALFORMED, Answer(f"{task_id!r} can't be a task's id; it was not asked for"))

        def read(reply: Reply, secrets: tuple[str, ...], wait: float | None) -> QueryOutcome:
            return parse_query(
                reply.status, reply.body, asked=task_id, own_key=own_key, secrets=secrets, retry_after_s=wait
            )

        return self.ask(f"{PATH}/{quote(task_id, safe='', errors='replace')}", None, read)

    def _post(
        self, body: Mapping[str, object], external_task_id: str, bearer: Bearer, deadline_s: float
    ) -> SubmitOutcome:
        result = self._http.post_json(PATH, body, headers=bearer.headers, deadline_s=deadline_s)
        whole = submitted(result, bearer.secrets)
        if not isinstance(whole, Reply):
            return whole
        outcome = parse_submit(
            whole.status,
            whole.body,
            external_task_id=external_task_id,
            secrets=bearer.secrets,
            retry_after_s=retry_after(whole.headers, now=self._now()),
        )
        if isinstance(outcome, Rejected):
            return replace(outcome, answer=self._with_clock(outcome.answer, whole))
        return outcome

    def ask(
        self,
        path: str,
        params: Mapping[str, str | int] | None,
        read: Callable[[Reply, tuple[str, ...], float | None], Q],
        cap: int = BODY_CAP,
        *,
        retry: RetryPolicy | None = None,
    ) -> Q | Unanswered:
        """GET, again within bounds where another try may do better. `read` is given a whole answer, what must not be
        written down, and the seconds that Kling asks to be left alone."""
        new_token_left = True

        def once(allowed_s: float) -> Try[Q | Unanswered]:
            nonlocal new_token_left
            ends = time.monotonic() + allowed_s
            while True:
                bearer = self._tokens.bearer()
                if isinstance(bearer, SecretFault):
                    return Try(Unanswered(QueryFault.AUTH, Answer(bearer.message)))
                left = max(ends - time.monotonic(), 0.001)
                result = self._http.get(path, params=params, headers=bearer.headers, deadline_s=left, body_cap=cap)
                attempt = self._read(result, bearer, read)
                refused = isinstance(attempt.outcome, Unanswered) and self._new_token_may_help(attempt.outcome.answer)
                if not (refused and new_token_left):
                    return attempt
                new_token_left = False
                self._tokens.forget(bearer)

        return with_retries(once, deadline_s=self._get_deadline_s, policy=retry or self._retry)

    def ask_by_post(
        self,
        path: str,
        body: Mapping[str, object],
        read: Callable[[Reply, tuple[str, ...], float | None], Q],
        cap: int = BODY_CAP,
    ) -> Q | Unanswered:
        """A question that Kling wants as a POST: one try, and after 1003 / 1004 one more with a new token."""
        new_token_left = True
        while True:
            bearer = self._tokens.bearer()
            if isinstance(bearer, SecretFault):
                return Unanswered(QueryFault.AUTH, Answer(bearer.message))
            result = self._http.post_json(
                path, body, headers=bearer.headers, deadline_s=self._get_deadline_s, body_cap=cap
            )
            outcome = self._read(result, bearer, read).outcome
            refused = isinstance(outcome, Unanswered) and self._new_token_may_help(outcome.answer)
            if not (refused and new_token_left):
                return outcome
            new_token_left = False
            self._tokens.forget(bearer)

    def _read(
        self,
        result: HttpResult,
        bearer: Bearer,
        read: Callable[[Reply, tuple[str, ...], float | None], Q],
    ) -> Try[Q | Unanswered]:
        whole = asked(result, bearer.secrets)
        if not isinstance(whole, Reply):
            return whole
        wait = retry_after(whole.headers, now=self._now())
        outcome = read(whole, bearer.secrets, wait)
        if not isinstance(outcome, Unanswered):
            return Try(outcome)
        told = replace(outcome, answer=self._with_clock(outcome.answer, whole))
        return Try(told, again=outcome.fault in WORTH_REPEATING, retry_after_s=wait)

    def _new_token_may_help(self, answer: Answer) -> bool:
        return self._tokens.mints and answer.code in TOKEN_REFUSED

    def _with_clock(self, answer: Answer, reply: Reply) -> Answer:
        """Say by how much the clocks differ, where a token was refused for its times."""
        skew = clock_skew(reply.headers, now=self._now()) if answer.code in TOKEN_REFUSED else None
        if skew is None or abs(skew) < _SKEW_WORTH_TELLING_S:
            return answer
        word = "ahead of" if skew > 0 else "behind"
        return replace(answer, message=f"{answer.message} (this machine's clock is {abs(skew):.0f} s {word} Kling's)")
