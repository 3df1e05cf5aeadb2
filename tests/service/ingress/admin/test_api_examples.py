"""Summaries, descriptions and examples of the API: each operation has them, and each example is current and valid."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import jsonschema_rs
import msgspec
import pytest

from service.ingress.admin.api_examples import load_examples
from service.ingress.http.openapi import openapi_document
from service.settings import Settings
from tests.service.ingress.admin.api_examples import collect
from tests.service.ingress.admin.conftest import Api
from tests.service.ingress.console.scenario import fill, open_scenario

pytestmark = [pytest.mark.slow, pytest.mark.store]

METHODS = {"get", "head", "post", "put", "delete", "options"}


@pytest.fixture
async def documents(api: Api) -> dict[str, dict[str, Any]]:
    admin = (await api("GET", "/docs/openapi.json", role=None)).body
    return {"admin": admin, "webhooks": msgspec.json.decode(openapi_document())}


def operations_of(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS & item.keys():
            yield f"{method.upper()} {path}", item[method]


def contents_of(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the content of the request and of each success by media type."""
    sides = [operation.get("requestBody", {})]
    sides += [found for status, found in operation["responses"].items() if status.startswith("2")]
    for side in sides:
        yield from side.get("content", {}).items()


async def test_every_operation_has_a_summary_a_description_and_examples(documents: dict[str, dict[str, Any]]) -> None:
    for document in documents.values():
        names = [name for name, _ in operations_of(document)]
        assert len(names) == len(set(names)) > 5
        for name, operation in operations_of(document):
            assert operation["summary"], name
            assert not operation["summary"].endswith("."), name
            assert operation["description"], name
            for media_type, content in contents_of(operation):
                assert "example" in content, (name, media_type)


async def test_every_example_is_valid(documents: dict[str, dict[str, Any]]) -> None:
    validated = 0
    for document in documents.values():
        for name, operation in operations_of(document):
            for media_type, content in contents_of(operation):
                schema = {**content["schema"], "components": document["components"]}
                errors = list(jsonschema_rs.Draft202012Validator(schema).iter_errors(content["example"]))
                assert errors == [], (name, media_type)
                validated += 1
    assert validated > 90


async def test_every_example_is_what_an_installation_answers(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """Record the examples again with `make api-examples`."""
    async with open_scenario(make_settings(attempts_max=1), tmp_path) as scenario:
        await fill(scenario)
        recorded = await collect(scenario)
    stored = load_examples()
    assert stored.keys() == recorded.keys()
    for name, example in recorded.items():
        assert fields_of(stored[name]) == fields_of(example), name


def fields_of(example: Any) -> Any:
    """Return the names of the fields of a request and of its response, without their values."""
    response = example.get("response")
    if isinstance(response, list):
        response = {"items": cast("list[Any]", response)}
    fields = set(cast("dict[str, Any]", response)) if isinstance(response, dict) else response is not None
    return example.get("request"), fields
