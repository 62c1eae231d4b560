"""Read the parameters of a hop for a submit's body."""

from collections.abc import Mapping
from typing import Any, Final

from extend_pipeline.providers.protocol import SubmitRequest

_NAMES: Final = {str: "text", bool: "true or false"}


def read_params(request: SubmitRequest, kinds: Mapping[str, type | None], provider: str) -> dict[str, Any]:
    """Return the parameters that are set (neither None nor ""), in the order of `kinds`: their types, None for one that
    the caller checks. Raises ValueError for what config should have refused: an unknown parameter, a wrong type."""
    unknown = sorted(request.params.keys() - kinds.keys())
    if unknown:
        raise ValueError(f"{provider}'s extension has no parameter {', '.join(unknown)}")
    params = {name: request.params[name] for name in kinds if request.params.get(name) not in (None, "")}
    for name, value in params.items():
        kind = kinds[name]
        if kind is not None and not isinstance(value, kind):
            raise ValueError(f"{name} has to be {_NAMES[kind]}")
    return params
