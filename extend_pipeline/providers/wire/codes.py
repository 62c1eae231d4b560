"""Numeric codes of the origin, and their meaning for a submit and for a query (docs/upstream/kling.md, "Codes").

Gateways forward them, so that they are read with this meaning in the responses of every provider. A provider with
another meaning for one of these numbers has to classify its own errors.

The code decides, not the HTTP status, because 429 is used both for "slow down" and for "no money".
"""

import re
from dataclasses import dataclass
from typing import Final

from extend_pipeline.providers.protocol import QueryFault, RejectReason

SUCCESS: Final = frozenset({0, 200})  # some deployments send 200
TOKEN_REFUSED: Final = frozenset({"1003", "1004"})
BAD_VALUE: Final = 1201
NOT_FOUND: Final = 1203


@dataclass(frozen=True, slots=True)
class CodeRule:
    """The meaning of a code. `reject` is None if a submit with this response may still have made a task."""

    reject: RejectReason | None
    fault: QueryFault
    advice: str = ""


_REGION = "check the key pair; keys are bound to a region: api-singapore and api-beijing don't know each other's"
_CLOCK = "the token's times were refused; check this machine's clock"
_MONEY = "top the account up or buy a pack; nothing is submitted through it until then"
_PROMPT = "the prompt has to change"

RULES: Final[dict[int, CodeRule]] = {
    1000: CodeRule(RejectReason.AUTH, QueryFault.AUTH, _REGION),
    1001: CodeRule(RejectReason.AUTH, QueryFault.AUTH, _REGION),
    1002: CodeRule(RejectReason.AUTH, QueryFault.AUTH, _REGION),
    1003: CodeRule(RejectReason.AUTH, QueryFault.AUTH, _CLOCK),
    1004: CodeRule(RejectReason.AUTH, QueryFault.AUTH, _CLOCK),
    1100: CodeRule(RejectReason.BALANCE, QueryFault.BALANCE, _MONEY),
    1101: CodeRule(RejectReason.BALANCE, QueryFault.BALANCE, _MONEY),
    1102: CodeRule(RejectReason.BALANCE, QueryFault.BALANCE, _MONEY),
    1103: CodeRule(RejectReason.FORBIDDEN, QueryFault.FORBIDDEN, "the account may not use this interface or model"),
    1200: CodeRule(RejectReason.BAD_REQUEST, QueryFault.MALFORMED),
    1201: CodeRule(RejectReason.BAD_REQUEST, QueryFault.MALFORMED),
    1202: CodeRule(RejectReason.BAD_REQUEST, QueryFault.MALFORMED, "check the account's base_url"),
    1203: CodeRule(
        RejectReason.NOT_FOUND,
        QueryFault.MALFORMED,
        "the video has expired (30 days), or another account made it: it can only be extended there",
    ),
    1300: CodeRule(RejectReason.CONTENT, QueryFault.MALFORMED, _PROMPT),
    1301: CodeRule(RejectReason.CONTENT, QueryFault.MALFORMED, _PROMPT),
    1302: CodeRule(RejectReason.RATE, QueryFault.RATE),
    1303: CodeRule(RejectReason.SLOTS, QueryFault.RATE),
    1304: CodeRule(RejectReason.FORBIDDEN, QueryFault.FORBIDDEN, "add this machine's public IP to the account's list"),
    5000: CodeRule(None, QueryFault.UPSTREAM),
    5001: CodeRule(None, QueryFault.UPSTREAM),
    5002: CodeRule(None, QueryFault.UPSTREAM),
}

_OUR_KEY: Final = re.compile(
    r"external|duplicat|repeat|exist|unique|already|conflict|in use|重复|已存在|唯一|自定义任务", re.IGNORECASE
)
_OTHER_FIELD: Final = re.compile(
    r"video[ _]?id|negative[ _]?prompt|prompt|cfg[ _]?scale|watermark|callback[ _]?url|model|duration", re.IGNORECASE
)


def may_be_duplicate_key(message: str, external_task_id: str) -> bool:
    """Return whether a 1201 may mean that our own `external_task_id` is taken.

    True unless the message names another field and contains no hint of a duplicate. In doubt true, because the two
    errors differ in cost. Looking up a bad value costs a few queries, which find nothing. Reading a duplicate as a bad
    value releases the reservation and leaves a paid, running task that no attempt fetches, and the next submit pays
    again. A prompt that is quoted in the message can only lead to a look-up.
    """
    if external_task_id and external_task_id in message:
        return True
    return _OUR_KEY.search(message) is not None or _OTHER_FIELD.search(message) is None
