"""How one home is mounted in a Dagster code location: the names of everything that stands for it there."""

import keyword
from datetime import timedelta
from typing import Annotated, Any, Final, Literal, cast

import dagster as dg
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from extend_pipeline.dagster_defs.resources import HomeResource

VIDEOS: Final = "videos"
"""The only set of partitions, without a mount's prefix."""

Start = Literal["running", "stopped", "none"]
"""Whether sensors or schedules run from the start, wait until an operator starts them, or are left out."""


_PART: Final = r"^[A-Za-z0-9_-]+$"
_RESOURCE_KEY: Final = r"^[A-Za-z][A-Za-z0-9_]*$"
_UNPREFIXED: Final = "all"
"""Stands for the mount without a prefix in tags of runs and in Dagster's storage."""
MAX_FRESHNESS_HOURS: Final = 8_784  # a year
TEMPLATE: Final = r"\{\{"  # of Dagster's components: its text is known when it is rendered


def _split(value: object) -> object:
    """Return the parts of a prefix that is written as Dagster shows it (`studio/films`)."""
    return tuple(value.split("/")) if isinstance(value, str) else value


def _resource_key(value: str | None) -> str | None:
    if value is not None and keyword.iskeyword(value):
        raise ValueError(f"{value} is a word of Python, so that Dagster refuses it as the key of a resource")
    return value


def _text(value: object) -> object:
    """Return a number or a truth value as text, as Dagster's own components do: YAML reads `tier: 1` as a number."""
    return str(value) if isinstance(value, bool | int | float) else value


def _owner(value: str) -> str:
    try:
        dg.AssetSpec("asset", owners=[value])
    except dg.DagsterInvalidDefinitionError:
        raise ValueError(f"{value} is no owner; write an e-mail address, or team:NAME") from None
    return value


def _group_name(value: str | None) -> str | None:
    return None if value is None else _accepted(value, group_name=value)


def _tag_key(value: str) -> str:
    return _accepted(value, tags={value: ""})


def _tag_value(value: str) -> str:
    return _accepted(value, tags={"key": value})


def _accepted(value: str, **attributes: Any) -> str:
    """Return a value that Dagster accepts as an asset's; raise ValueError with Dagster's own reason."""
    try:
        dg.AssetSpec("asset", **attributes)
    except dg.DagsterError as error:
        raise ValueError(str(error)) from None
    return value


# `dg check yaml` and editors know the JSON schemas alone, so that these say what the functions above check
KeyPrefix = Annotated[
    tuple[Annotated[str, Field(pattern=_PART)], ...],
    BeforeValidator(_split),
    WithJsonSchema(
        {
            "type": ["string", "array"],
            "pattern": f"{_PART[:-1]}(/{_PART[1:-1]})*$",
            "items": {"type": "string", "pattern": f"{_PART}|{TEMPLATE}"},
            "not": {"enum": [_UNPREFIXED, [_UNPREFIXED]]},
        }
    ),
]
GroupName = Annotated[
    str | None,
    AfterValidator(_group_name),
    WithJsonSchema({"type": ["string", "null"], "pattern": "^[A-Za-z0-9_]+(/[A-Za-z0-9_]+)*$"}),
]
ResourceKey = Annotated[
    Annotated[str, Field(pattern=_RESOURCE_KEY)] | None,
    AfterValidator(_resource_key),
    WithJsonSchema({"type": ["string", "null"], "pattern": _RESOURCE_KEY}),
]
Owners = tuple[
    Annotated[
        str, AfterValidator(_owner), WithJsonSchema({"type": "string", "pattern": f"^team:.|^.+@.+$|{TEMPLATE}"})
    ],
    ...,
]
Tags = Annotated[
    dict[
        Annotated[str, AfterValidator(_tag_key)],
        Annotated[str, AfterValidator(_tag_value), BeforeValidator(_text)],
    ],
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": "^([A-Za-z0-9_.-]{1,63}/)?[A-Za-z0-9_.-]{1,63}$"},
            "additionalProperties": {"type": ["string", "number", "boolean"]},
        }
    ),
]

FreshnessHours = Annotated[
    Annotated[float, Field(ge=1, le=MAX_FRESHNESS_HOURS, allow_inf_nan=False)] | None,
    WithJsonSchema({"type": ["number", "null"], "minimum": 1, "maximum": MAX_FRESHNESS_HOURS}),
]


class Mount(BaseModel):
    """Names, groups and defaults of one mounted home. Two mounts have no name in common if their prefixes differ in
    more than `-`, `_` and `/`; Dagster refuses others.

    Modules name assets, checks and jobs without a prefix; a mount turns such a name into the mounted one. Raises
    pydantic's ValidationError with every mistake.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    resource_key: ResourceKey = Field(
        default=None,
        description="Key of the home's resource. Default: extend_pipeline_home, after the prefix.",
        examples=["studio_home"],
    )
    key_prefix: KeyPrefix = Field(
        default=(),
        description="Stands before all asset keys, and before the names of jobs, sensors, schedules, groups, the set "
        "of partitions and the resource.",
        examples=["studio", "studio/films", ["studio", "films"]],
    )
    group_name: GroupName = Field(
        default=None,
        description="One group for all assets. Default: a group for videos and one for tables.",
        examples=["films"],
    )
    sensors: Start = Field(
        default="stopped",
        description="running: sensors run from the start, and spend what the budgets allow. stopped: an operator "
        "starts them in the UI. none: they are left out.",
        examples=["stopped", "running", "none"],
    )
    schedules: Start = Field(
        default="stopped",
        description="running: the daily reconciliation and the daily report run from the start; the nightly backfill "
        "is stopped in any case. stopped: an operator starts them in the UI. none: they are left out.",
        examples=["stopped", "running", "none"],
    )
    tags: Tags = Field(default={}, description="Tags of all assets.", examples=[{"team": "studio", "tier": "1"}])
    owners: Owners = Field(
        default=(),
        description="Owners of all assets: e-mail addresses, or teams as team:NAME.",
        examples=[["team:studio", "anna@example.com"]],
    )
    freshness_hours: FreshnessHours = Field(
        default=None,
        description="The tables fail their freshness policy when they were not materialized for so many hours. The "
        "daily reconciliation materializes them also when nothing has happened; have it running, and choose more than "
        "a day. Default: no policy.",
        examples=[36],
    )

    # resource_key is the first field, so that it is known here
    @field_validator("key_prefix")
    @classmethod
    def _give_own_names(cls, prefix: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if prefix == (_UNPREFIXED,):
            raise ValueError(f"the prefix {_UNPREFIXED} stands for a home without one; choose another")
        # where resource_key is invalid, only that is reported
        if prefix and prefix[0][0].isdigit() and info.data.get("resource_key", "") is None:
            message = "Dagster refuses a resource whose key begins with a digit"
            raise ValueError(f"{message}: begin the prefix with a letter, or set resource_key")
        return prefix

    def name(self, name: str) -> str:
        """Return the mounted name of a job, an op, a sensor, a schedule, a pool or a set of partitions."""
        return "_".join([*(part.replace("-", "_") for part in self.key_prefix), name])

    def asset(self, key: dg.AssetKey) -> dg.AssetKey:
        """Return the mounted key of an asset."""
        return key.with_prefix(self.key_prefix) if self.key_prefix else key

    def check(self, key: dg.AssetCheckKey) -> dg.AssetCheckKey:
        """Return the mounted key of an asset check."""
        return dg.AssetCheckKey(self.asset(key.asset_key), key.name)

    def group(self, name: str) -> str:
        """Return the group of assets that belong to a group of this package."""
        return self.group_name or self.name(name)

    @property
    def partitions_name(self) -> str:
        """Return the name of the set of partitions, which Dagster keeps for all its code locations together."""
        return self.name(VIDEOS)

    @property
    def advance_tag(self) -> str:
        """Return the value of the tag of runs that advance; `deploy/dagster.yaml` lets one run of each go on."""
        return "/".join(self.key_prefix) or _UNPREFIXED

    @property
    def home_key(self) -> str:
        """Return the key of the home's resource. It differs from that of a resource `home` of another project."""
        return self.resource_key or self.name("extend_pipeline_home")

    def home_of(self, context: Any) -> HomeResource:
        """Return the home of a run, a tick or a check from its context."""
        return cast(HomeResource, getattr(context.resources, self.home_key))

    def freshness_policy(self) -> dg.FreshnessPolicy | None:
        """Return the freshness policy of the tables, if they have one."""
        hours = self.freshness_hours
        return None if hours is None else dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=hours))

    def sensor_status(self) -> dg.DefaultSensorStatus:
        """Return whether sensors run from the start."""
        return dg.DefaultSensorStatus.RUNNING if self.sensors == "running" else dg.DefaultSensorStatus.STOPPED

    def schedule_status(self) -> dg.DefaultScheduleStatus:
        """Return whether schedules run from the start."""
        return dg.DefaultScheduleStatus.RUNNING if self.schedules == "running" else dg.DefaultScheduleStatus.STOPPED


OWN: Final = Mount(resource_key="home", sensors="running", schedules="running")
"""The mount of this project's own workspace: no prefix, and everything runs from the start."""
