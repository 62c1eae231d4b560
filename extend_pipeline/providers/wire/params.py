"""Read the parameters of a hop for a submit's body."""

from collections.abc import Mapping
from typing import Any, Final

from extend_pipeline.providers.protocol import SubmitRequest

ParamTypes = Mapping[str, type | None]
"""The types of parameters by their names; None for one whose value the caller checks."""

_NAMES: Final = {str: "text", bool: "true or false"}


def read_params(request: SubmitRequest, kinds: ParamTypes, provider: str) -> dict[str, Any]:
    """Return the parameters that are set, in the order of `kinds`; None and an empty text are not. Raises ValueError
    for what config should have refused: an unknown parameter, a wrong type."""
    unknown = sorted(request.params.keys() - kinds.keys())
    if unknown:
        raise ValueError(f"{provider}'s extension has no parameter {', '.join(unknown)}")
    params: dict[str, Any] = {}
    for name, kind in kinds.items():
        value = request.params.get(name)
        if kind is not None and not isinstance(value, kind | None):
            raise ValueError(f"{name} has to be {_NAMES[kind]}")
        if value is not None and not (kind is str and value == ""):
            params[name] = value
    return params
