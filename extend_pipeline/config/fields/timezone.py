"""The time zone of a home, by its IANA name: of budgets, reports and displayed times."""

import re
from typing import Annotated, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import BeforeValidator, ConfigDict, Field

from extend_pipeline.base.days import UTC_ZONE
from extend_pipeline.config.fields.text import ConfigModel, field_error, schema_as, single_value
from extend_pipeline.config.issues import did_you_mean

_EXAMPLE: Final = "Write an IANA name, such as Asia/Shanghai (Beijing), Europe/Berlin or America/New_York."
_PLACE: Final = re.compile(r"(?!Etc/|posix/|right/)[A-Za-z]+(/[A-Za-z0-9_+-]+)+", re.ASCII)
_MAX_LENGTH: Final = 64


def _zone(value: object) -> str:
    text = single_value(value)
    if text.upper() in ("UTC", "ETC/UTC"):
        return UTC_ZONE
    if _PLACE.fullmatch(text) is None or len(text) > _MAX_LENGTH:
        # EST, CST and GMT+8 are read as different zones by different people; Etc/GMT+8 is 8 hours west of Greenwich
        raise field_error("names no place", _nearest(text))
    try:
        return ZoneInfo(text).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise field_error("is not a time zone that this machine knows", _nearest(text)) from None


def _nearest(text: str) -> str:
    places = sorted(name for name in available_timezones() if _PLACE.fullmatch(name))
    # a city alone is found among the cities
    cities = {name.rpartition("/")[2].lower(): name for name in places}
    if (place := cities.get(text.lower().replace(" ", "_"))) is not None:
        return f'Did you mean "{place}"?'
    near = did_you_mean(text[:_MAX_LENGTH], places) if "/" in text else ""
    return near or _EXAMPLE


class HomeFields(ConfigModel):
    """Fields of accounts.yaml that apply to the whole home."""

    model_config = ConfigDict(extra="ignore")  # names beside the list are checked where the file is read

    timezone: Annotated[str, BeforeValidator(_zone), schema_as({"type": "string"})] = Field(
        default=UTC_ZONE,
        description="Time zone (IANA name) whose days budgets, costs by day and schedules follow, and whose clock "
        "`status`, `plan`, `sql` and Dagster's messages show. What is stored stays UTC. UTC by default.",
        examples=["Asia/Shanghai"],
    )
