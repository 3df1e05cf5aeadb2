"""Examples of the operations of the admin API, recorded from an installation: a request and its response."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

PATH = Path(__file__).parent / "static" / "examples.json"


def load_examples() -> Mapping[str, Mapping[str, Any]]:
    """Return `request` and `response` of each operation, by method and path: `GET /api/v1/events`."""
    return msgspec.json.decode(PATH.read_bytes(), type=dict[str, dict[str, Any]])


def with_example(operation: Mapping[str, Any], example: Mapping[str, Any]) -> dict[str, Any]:
    """Return an operation with the example of its request and of its response."""
    result = dict(operation)
    if "request" in example:
        body = operation["requestBody"]
        result["requestBody"] = {**body, "content": _add(body["content"], example["request"])}
    if "response" in example:
        status = next(status for status in operation["responses"] if status.startswith("2"))
        found = operation["responses"][status]
        response = {**found, "content": _add(found["content"], example["response"])}
        result["responses"] = {**operation["responses"], status: response}
    return result


def _add(content: Mapping[str, Any], example: object) -> dict[str, Any]:
    return {media_type: {**found, "example": example} for media_type, found in content.items()}
