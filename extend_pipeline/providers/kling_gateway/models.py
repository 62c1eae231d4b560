"""The catalogue and account fields of Kling through a reseller, which may forward only some of Kling's fields
(docs/upstream/kling-gateway.md)."""

from collections.abc import Iterator
from typing import Annotated, Final, Literal, get_args

from pydantic import Field, ValidationInfo, field_validator

from extend_pipeline.config.fields.ids import ExactId
from extend_pipeline.config.fields.text import RequiredBecause, field_error, one_of, schema_as
from extend_pipeline.config.issues import FieldIssue
from extend_pipeline.config.model.account import ACD, Account, Poll, SubmitClass, poll_field, provider_field
from extend_pipeline.config.model.credentials import ApiKey, api_key_field
from extend_pipeline.config.model.network import PathPrefix
from extend_pipeline.config.model.price import RESELLER_PRICES, Price, reseller_price_field
from extend_pipeline.providers.kling import models as kling
from extend_pipeline.providers.kling.models import KlingExtend, KlingSource

PREFIX: Final = "/kling"
_Field = Literal["task_id", "negative_prompt", "cfg_scale", "callback_url", "external_task_id", "watermark"]
FORWARDABLE: Final[tuple[str, ...]] = get_args(_Field)
"""Fields that some gateways forward beyond `video_id` and `prompt`. `task_id` is the parent's; the document's text
requires it and its schema lacks it."""
FORWARDABLE_PARAMS: Final = ("negative_prompt", "cfg_scale", "watermark")


class GatewaySource(KlingSource):
    """A video that Kling made for the reseller's account. Duration in milliseconds, `created_at` in UTC."""

    task_id: ExactId | None = Field(
        default=None,
        description="Id of the task that made it; needed where the account passes task_id.",
        examples=["815336423632572487"],
    )


class GatewayExtend(KlingExtend):
    """The options of an extension; negative_prompt, cfg_scale and watermark only if the account passes them."""


class GatewayAccount(Account):
    """An account at a reseller of Kling. Fields beyond docs/upstream/kling-gateway.md, "Submit" are off by default."""

    provider: Annotated[Literal["kling-gateway"], schema_as({"const": "kling-gateway"})] = provider_field(
        "kling-gateway"
    )
    credentials: ApiKey = api_key_field("GATEWAY_API_KEY")
    price: Annotated[Price, RequiredBecause(RESELLER_PRICES)] = reseller_price_field(
        "{std: 2, pro: 3.5}, unit_price: 0.14"
    )
    submit_class: Annotated[SubmitClass, ACD] = Field(
        default="C",
        description="What a submit can promise. C: nothing can be looked up by an id of ours. A: it was tried out that "
        "the gateway passes external_task_id and finds tasks by it.",
        examples=["C"],
    )
    path_prefix: PathPrefix = Field(
        default=PREFIX,
        description="What stands before /v1/videos at this reseller; /kling by default.",
        examples=["/kling"],
    )
    poll: Poll = poll_field(kling.POLL)
    # after submit_class and callbacks, which it is checked against; validated even if it is missing
    passes: Annotated[
        tuple[Annotated[_Field, one_of(*FORWARDABLE)], ...],
        schema_as({"type": "array", "uniqueItems": True, "items": {"enum": list(FORWARDABLE)}}),
    ] = Field(
        default=(),
        validate_default=True,
        description="Fields beyond video_id and prompt that this gateway hands on to Kling; none by default.",
        examples=["[negative_prompt, cfg_scale]"],
    )

    @field_validator("passes", mode="after")
    @classmethod
    def _check_passes(cls, value: tuple[_Field, ...], info: ValidationInfo) -> tuple[_Field, ...]:
        if info.data.get("submit_class") == "A" and "external_task_id" not in value:
            raise field_error(
                "submit_class A needs a gateway that passes external_task_id",
                "Write passes: [external_task_id] if it does, and submit_class: C if not.",
            )
        if info.data.get("callbacks") is not None and "callback_url" not in value:
            raise field_error(
                "callbacks need a gateway that passes callback_url",
                "Write passes: [callback_url] if it does, and leave callbacks out if not.",
            )
        return value


def check(
    *, source: GatewaySource | None, root: GatewaySource | None, extend: GatewayExtend | None, account: Account | None
) -> Iterator[FieldIssue]:
    """Yield the issues that Kling would refuse, the fields that this gateway would drop, and the ones it needs."""
    yield from kling.check(source=source, root=root, extend=extend, account=account)
    if not isinstance(account, GatewayAccount):
        return
    for name in FORWARDABLE_PARAMS:
        if extend is not None and getattr(extend, name) is not None and name not in account.passes:
            yield FieldIssue(
                ("extend", name),
                f"would not reach Kling: account {account.name} does not pass {name}",
                "Leave it out, or add it to the account's passes if the reseller hands it on.",
                about_value=False,
            )
    if source is not None and source.task_id is None and "task_id" in account.passes:
        yield FieldIssue(
            ("source", "task_id"),
            f"is missing, and account {account.name} passes it",
            "Write task_id: and the id of the task that made the source.",
        )
