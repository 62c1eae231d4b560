"""Budgets and prices of accounts, in exact micro-units and micro-currency."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Discriminator, Field, Tag

from extend_pipeline.config.fields.numbers import Number, Units
from extend_pipeline.config.fields.text import ConfigModel, field_error, matching, schema_as

RESELLER_PRICES: Final = "gateway prices are the reseller's"
"""Why there is no default price where a provider is reached through a reseller."""

# units, or money: more is a typing mistake, and exceeds the columns of the warehouse
_MAX_UNITS = 1e9
_ZERO = re.compile(r"[+-]?0+(\.0*)?", re.ASCII)


class Budget(ConfigModel):
    """What an account may spend, in micro-units. An account without a budget spends nothing."""

    per_day_micros: Annotated[int, Units(ge=0)] = Field(
        validation_alias="per_day",
        description="Most units spent in one day of the home's timezone (UTC by default); 0 spends nothing.",
        examples=[100],
    )
    total_micros: Annotated[int, Units(ge=0)] = Field(
        validation_alias="total",
        description="Most units ever spent by this account; 0 spends nothing.",
        examples=[2000],
    )
    in_doubt_micros: Annotated[int | None, Units(ge=0)] = Field(
        default=None,
        validation_alias="in_doubt",
        description="Most units that may be sent or in doubt at a time: the most that an outage can cost; 0 spends "
        "nothing. As much as per_day by default.",
        examples=[20],
    )

    @property
    def exposure_micros(self) -> int:
        """Return the limit of the exposure, in micro-units."""
        return self.per_day_micros if self.in_doubt_micros is None else self.in_doubt_micros


def reseller_price_field(example: str) -> Any:
    """Return the field `price` of an account at a reseller; `example` is what one extension costs."""
    return Field(
        description="What one extension costs; written whole. There is no default: gateway prices are the reseller's.",
        examples=[f"{{unit: credit, per_extension: {example}, currency: USD}}"],
    )


def budget_fields(value: object) -> object:
    """Return the fields of a budget; a bare 0 is a budget of 0. Raises the field's error for another number."""
    if not isinstance(value, str):
        return value
    if Number(ge=0).decimal(value) == 0:
        return {"per_day": value, "total": value}
    raise field_error(
        "is one number, and a budget has two",
        "Write budget: {per_day: 100, total: 2000}, in units; 0 alone spends nothing.",
    )


def _price_of_a_step(value: object) -> object:
    if isinstance(value, str) and _ZERO.fullmatch(value.strip()):
        raise field_error(
            "is no price: what costs nothing would pass every budget",
            "Give the units of one extension, such as 2. Where it is free for now, give the least there is: 0.000001.",
        )
    return value


# validators run from the last to the first
_PRICE = Units(gt=0, le=_MAX_UNITS)
_ExtensionPrice = Annotated[int, _PRICE, BeforeValidator(_price_of_a_step)]


class Price(ConfigModel):
    """What one extension costs, in micro-units, and what a unit costs, in micro-currency."""

    unit: Annotated[
        str,
        matching(r"[A-Za-z0-9._ -]{1,32}", "can't be the name of a unit", "Use a short name such as kling-unit."),
        schema_as({"type": "string", "minLength": 1, "maxLength": 32}),
    ] = Field(description="Name of what the account is charged in.", examples=["kling-unit"])
    per_extension_micros: Annotated[
        Annotated[_ExtensionPrice, Tag("form:all")] | Annotated[dict[str, _ExtensionPrice], Tag("form:mode")],
        Discriminator(lambda value: "form:mode" if isinstance(value, Mapping) else "form:all"),
        schema_as(
            {
                "anyOf": [
                    _PRICE.schema,
                    {"type": "object", "minProperties": 1, "additionalProperties": _PRICE.schema},
                ]
            }
        ),
    ] = Field(
        validation_alias="per_extension",
        description="Units for one extension: one number, or one by what the price depends on: {std: 2, pro: 3.5} by "
        "mode, {viduq2-turbo/720p/5: 1.09} by model, resolution and seconds.",
        examples=["{std: 2, pro: 3.5}"],
    )
    unit_price_micros: Annotated[int, Units(ge=0, le=_MAX_UNITS)] = Field(
        validation_alias="unit_price",
        description="Price of one unit in the currency; 0 where units are paid for otherwise: all amounts are 0 then.",
        examples=[0.14],
    )
    currency: Annotated[
        str,
        matching(r"[A-Z]{3}", "is no currency code", "Write three capital letters, such as USD or CNY."),
        schema_as({"type": "string", "pattern": "^[A-Z]{3}$"}),
    ] = Field(description="ISO 4217 code of the currency.", examples=["USD"])

    def __hash__(self) -> int:
        return hash((self.unit, self.unit_price_micros, self.currency))

    def quote(self, key: str | None) -> int | None:
        """Return the micro-units of one extension by its price key (`ProviderConfig.price_key`); None if it has no
        price, and then nothing may be submitted. A key `a/b/c` without a price takes that of `a/b`, else of `a`."""
        price = self.per_extension_micros
        if isinstance(price, int):
            return price
        while key is not None and key not in price:
            key = key.rpartition("/")[0] or None
        return None if key is None else price[key]
