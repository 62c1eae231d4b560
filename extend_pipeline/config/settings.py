"""Settings of the process, from the environment: paths, deadlines, and numbers of parallel requests."""

import difflib
import os
from pathlib import Path
from typing import Annotated, Any, Final, Self
from urllib.parse import quote, unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from extend_pipeline.base.wording import with_home
from extend_pipeline.config.fields.text import FIELD_ERROR, field_error
from extend_pipeline.config.issues import ConfigError, ConfigIssue

PREFIX = "EXTEND_PIPELINE_"
_ENVIRONMENT: Final = "environment"  # the file of an issue
_DEFAULT_HOME: Final = "data"
# between the end of a POST and the commit of its outcome; a lease that ends first would put a good submit in doubt
LEASE_MARGIN_S = 5.0

_SEND_MARGIN_S: Final = 30.0  # between a claim and its POST, in which a wave is marked as sending

MEDIA_SCHEMES = ("file",)
"""Schemes of EXTEND_PIPELINE_MEDIA_URL; `media.stores.STORES` has a store for each."""

_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=1, le=1000)]


def _default_lease_s(values: dict[str, Any]) -> float:
    return float(values.get("post_deadline_s", 0.0)) + _SEND_MARGIN_S


class Settings(BaseModel):
    """Settings by field, or by environment variable EXTEND_PIPELINE_<FIELD>. Durations in seconds, sizes in bytes.

    `home` becomes absolute against the working directory; `{home}` in the URLs is replaced by it. Raises ConfigError.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Field(default=Path(_DEFAULT_HOME), validate_default=True)
    # may hold a password, so it is not shown
    ledger_url: str = Field(default="sqlite:///{home}/state/ledger.sqlite", validate_default=True, repr=False)
    media_url: str = Field(default="file://{home}/state/media", validate_default=True)
    post_deadline_s: _Seconds = 60  # over a whole submit call
    # of a claim; what a killed process of another host had claimed waits for its end
    lease_s: _Seconds = Field(default_factory=_default_lease_s, validate_default=True)
    get_deadline_s: _Seconds = 30
    download_silence_s: _Seconds = 60  # without a byte; a download itself may take as long as bytes flow
    max_downloads: _Count = 4
    max_submits: _Count = 8
    max_polls: _Count = 8
    max_file_bytes: Annotated[int, Field(ge=1)] = 2 * 1024**3
    min_free_bytes: Annotated[int, Field(ge=0)] = 1024**3  # kept free on the disks of films and of the ledger
    result_bytes: Annotated[int, Field(ge=0)] = 128 * 1024**2  # reserved for each paid result not downloaded yet
    # a paid result counts as lost after its host has reported it gone for this time without interruption
    lost_after_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 6 * 3600
    linger_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 120
    host_name: str = ""  # by which a shared ledger knows this machine; the system's own if empty

    def __init__(self, **values: Any) -> None:
        issues = list(_misspelt())
        try:
            super().__init__(**{**_from_environment(), **values})
        except ValidationError as error:
            details = error.errors(include_url=False)
            # beside a mistake no default is computed from other settings, which is no mistake of its own
            issues += [_issue(dict(detail)) for detail in details if detail["type"] != "default_factory_not_called"]
        if issues:
            raise ConfigError(issues)

    @classmethod
    def for_home(cls, home: Path | str) -> Self:
        """Return the settings for a home; everything else is read from the environment."""
        return cls(home=Path(home))

    @field_validator("home", mode="after")
    @classmethod
    def _absolute_home(cls, value: Path) -> Path:
        if "?" in str(value) or "\0" in str(value):
            raise field_error("holds a character that the ledger's address can't", "Name another folder.")
        home = Path(os.path.abspath(value.expanduser()))  # noqa: PTH100 - resolve() would follow links
        shown = str(home).encode(errors="backslashreplace").decode()
        if shown != str(home):  # addresses, files and tables that name it are UTF-8
            raise field_error(f"means {shown}, which isn't UTF-8", "Rename that folder, or name another home.")
        return home

    @field_validator("ledger_url", mode="after")
    @classmethod
    def _resolved_ledger_url(cls, value: str, info: ValidationInfo) -> str:
        if "://" not in value:
            raise field_error("is not an address", "Write sqlite:///… or postgresql://…")
        return value.replace("{home}", str(info.data.get("home", "")))

    @field_validator("media_url", mode="after")
    @classmethod
    def _resolved_media_url(cls, value: str, info: ValidationInfo) -> str:
        resolved = value.replace("{home}", quote(str(info.data.get("home", ""))))
        parts = urlsplit(resolved)
        hint = "Write file:///folder or file://{home}/folder."
        if parts.scheme not in MEDIA_SCHEMES:
            raise field_error("is not a file:// address, and no other media store is supported", hint)
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise field_error("names no absolute folder of this machine", hint)
        return resolved

    @field_validator("lease_s", mode="after")
    @classmethod
    def _lease_outlasts_a_post(cls, value: float, info: ValidationInfo) -> float:
        minimum = info.data.get("post_deadline_s", 0.0) + LEASE_MARGIN_S
        if value <= minimum:
            raise field_error(
                f"is not above {minimum:g}, the deadline of a submit and {LEASE_MARGIN_S:g} s",
                "Raise EXTEND_PIPELINE_LEASE_S, or lower EXTEND_PIPELINE_POST_DEADLINE_S.",
            )
        return value

    def with_home(self, text: str) -> str:
        """Return a text whose commands name this home, unless they find it as the default of the working directory."""
        return text if self.home == Path(os.path.abspath(_DEFAULT_HOME)) else with_home(text, str(self.home))  # noqa: PTH100

    @property
    def state_dir(self) -> Path:
        """Return the folder of all generated files."""
        return self.home / "state"

    @property
    def media_dir(self) -> Path:
        """Return the folder of a media store on this machine. Only `media.stores` uses it; other code uses the
        store."""
        return Path(unquote(urlsplit(self.media_url).path))

    @property
    def warehouse_path(self) -> Path:
        """Return the published DuckDB file."""
        return self.state_dir / "warehouse.duckdb"

    @property
    def report_path(self) -> Path:
        """Return the report about it, an HTML file."""
        return self.state_dir / "report.html"


def _from_environment() -> dict[str, str]:
    """Return the settings of the environment by field, without empty ones. Names may be in any case."""
    # read here, because pydantic-settings takes longer to import than the whole configuration to read
    written = {name.upper(): value for name, value in os.environ.items() if value}
    names = {name: PREFIX + name.upper() for name in Settings.model_fields}
    return {field: written[name] for field, name in names.items() if name in written}


def _misspelt() -> list[ConfigIssue]:
    # a misspelt name of the ledger URL would start an empty ledger, without any of the payments
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    issues = []
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known:
            matches = difflib.get_close_matches(name, known, n=1, cutoff=0.92)
            if matches:
                hint = f"Did you mean {matches[0]}?"
                issues.append(ConfigIssue(_ENVIRONMENT, None, "is not a known setting", hint, field=name))
    return issues


_BOUNDS: Final = {
    "greater_than": ("gt", "is not above {:g}", "Give a number above it."),
    "greater_than_equal": ("ge", "is below {:g}", "Give a number of at least that."),
    "less_than_equal": ("le", "is above {:g}", "Give a number of at most that."),
}
"""By pydantic's type of error: the name of the bound, the message and the hint."""


def _issue(detail: dict[str, Any]) -> ConfigIssue:
    name = PREFIX + str(detail["loc"][0]).upper() if detail["loc"] else None
    showable = name not in (None, PREFIX + "LEDGER_URL") and detail["type"] != "extra_forbidden"
    message, hint = "is not a number of the kind that is needed", "Give a plain number."
    if detail["type"] == FIELD_ERROR:
        message, hint = detail["ctx"]["message"], detail["ctx"]["hint"]
    elif detail["type"] == "extra_forbidden":
        message, hint = "is not a known setting", ""
    elif detail["type"] in _BOUNDS:
        bound, template, hint = _BOUNDS[detail["type"]]
        message = template.format(detail["ctx"][bound])
    given = str(detail["input"]) if showable else None
    return ConfigIssue(_ENVIRONMENT, None, message, hint, field=name, given=given)
