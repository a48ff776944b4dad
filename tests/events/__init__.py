"""Lambda events in the shape in which AWS delivers them."""

from pathlib import Path
from typing import Any

import msgspec


def load(name: str, **changes: Any) -> dict[str, Any]:
    """`tests/events/<name>.json`, with some of its top-level fields changed."""
    event: dict[str, Any] = msgspec.json.decode(
        (Path(__file__).parent / f"{name}.json").read_bytes()
    )
    return event | changes


def get(path: str, **query: object) -> dict[str, Any]:
    """A GET through a REST API."""
    parameters = {name: [str(value)] for name, value in query.items()}
    return load("rest_get", path=path, multiValueQueryStringParameters=parameters)
