"""OpenAPI document of the admin API, and generated requests: every response conforms to the document."""

# The types of schemathesis are incomplete.
# pyright: reportUnknownVariableType=false

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from tests.examples import examples
from tests.service.ingress.admin.conftest import TOKENS, Api

pytestmark = [pytest.mark.slow, pytest.mark.store]

DOCUMENT = "/docs/openapi.json"
EXAMPLES = settings(
    max_examples=examples(6),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    phases=[Phase.explicit, Phase.generate],
    derandomize=True,
    database=None,
)


async def test_every_operation_documents_its_errors_as_problems(api: Api) -> None:
    document = (await api("GET", DOCUMENT, role=None)).body
    assert "Problem" in document["components"]["schemas"]
    operations = {
        f"{method} {path}": found["responses"]
        for path, item in document["paths"].items()
        if path.startswith("/api/v1")
        for method, found in item.items()
    }
    assert len(operations) > 40
    for name, responses in operations.items():
        assert {"400", "401", "403", "503"} <= responses.keys(), name
        assert ("404" in responses) or "{" not in name, name
        for status in responses.keys() & {"400", "404", "422", "503"}:
            assert "application/problem+json" in responses[status]["content"], name
    assert "412" in operations["put /api/v1/rules/{rule_id}"]
    assert "502" in operations["post /api/v1/dry-runs"]


async def test_every_operation_rejects_requests_outside_its_schema(api: Api) -> None:
    """Each request has one mistake; the answer is 422 and points to it."""
    document = (await api("GET", DOCUMENT, role=None)).body
    tested = 0
    for name, method, path, operation in operations_of(document):
        for pointer, query, body in wrong_requests(document, operation):
            tested += 1
            answer = await api(method.upper(), f"{path}{query}", body, if_match="*")
            assert answer.status == 422, (name, query, body, answer)
            assert [error["pointer"] for error in answer.body["errors"]] == [pointer], (name, query, body, answer)
    assert tested > 300


async def test_document_matches_the_rules_between_fields(api: Api) -> None:
    document = (await api("GET", DOCUMENT, role=None)).body
    schemas: dict[str, Any] = document["components"]["schemas"]
    for name, method, path, operation in operations_of(document):
        headers = {each["name"]: each["required"] for each in operation["parameters"] if each["in"] == "header"}
        assert headers in ({}, {"If-Match": "/rulebook" not in path}), name
        if headers.get("If-Match"):
            body = valid_body(document, operation)
            assert (await api(method.upper(), path, body)).status in {404, 428}, name
    event_filter = {"source": "a"}
    cases: list[tuple[str, str, dict[str, Any]]] = [
        (path, name, {"filter": values, "reason": "r"} | more if "discard" in path else {"filter": values} | more)
        for path, name in [
            ("/api/v1/dead-letters/discard", "BulkDiscardRequest"),
            ("/api/v1/dead-letters/replay", "BulkReplayRequest"),
        ]
        for values in ({}, event_filter, {"source": None}, {"state": "queued"} | event_filter, {"state": "dead"})
        for more in ({}, {"all": True}, {"all": False}, {"after": "1-a"} | {"all": True}, {"after": "x", "all": True})
    ]
    record = {"kind": "purchase_order", "record": {"id": "1", "type": "purchase_order"}}
    dry_runs: list[dict[str, Any]] = [
        {},
        {"post": None},
        {"event": "e", "post": record},
        {"event": None, "post": record},
    ]
    cases += [("/api/v1/dry-runs", "DryRunRequest", body) for body in dry_runs]
    for path, name, body in cases:
        valid = jsonschema_rs.Draft202012Validator(
            {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
        ).is_valid(body)
        answer = await api("POST", path, body)
        assert (answer.status in {200, 404}) == valid, (path, body, answer)


def operations_of(document: dict[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Yield name, method, path with ids, and operation of the admin API."""
    for template, item in document["paths"].items():
        for method, operation in item.items():
            if template.startswith("/api/v1"):
                yield f"{method} {template}", method, re.sub(r"\{\w+\}", "x", template), operation


def wrong_requests(document: dict[str, Any], operation: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield requests with one mistake: pointer to it, query, and body."""
    parameters = {each["name"]: each["schema"] for each in operation["parameters"] if each["in"] == "query"}
    required = [each["name"] for each in operation["parameters"] if each["in"] == "query" and each["required"]]
    usual = "".join(f"&{name}=x" for name in required)
    body = valid_body(document, operation)
    if "/reads/" not in operation["operationId"] and "ReadPlatform" not in operation["operationId"]:
        yield "?nope", f"?nope=1{usual}", body
    for name, schema in parameters.items():
        others = "".join(f"&{each}=x" for each in required if each != name)
        for text in wrong_texts(schema):
            yield f"?{name}", f"?{name}={text}{others}", body
        yield f"?{name}", f"?{name}=1&{name}=1{others}", body
    for name in required:
        yield f"?{name}", "?" + usual.replace(f"&{name}=x", ""), body
    for pointer, wrong in [("", {"nope": 1})] if body is None else wrong_bodies(document, operation, body):
        yield pointer, f"?{usual}", wrong


def wrong_bodies(
    document: dict[str, Any], operation: dict[str, Any], body: dict[str, Any]
) -> Iterator[tuple[str, Any]]:
    yield "", []
    schema = resolve(document, operation["requestBody"]["content"]["application/json"]["schema"])
    if "properties" not in schema:
        return  # any action: checked after its rule was found
    yield "/nope", body | {"nope": 1}
    for name in schema["required"]:
        yield f"/{name}", {key: value for key, value in body.items() if key != name}
    for name, member in schema["properties"].items():
        for value in wrong_values(resolve(document, member)):
            yield f"/{name}", body | {name: value}


def wrong_texts(schema: dict[str, Any]) -> list[str]:
    kinds = [each.get("type") for each in schema.get("oneOf", [schema])]
    if "integer" in kinds:
        number = schema.get("oneOf", [schema])[kinds.index("integer")]
        return [f"{number['minimum'] - 1}", f"{number['maximum'] + 1}", "-1", "1.0", "1_0", "%201", "", "x"]
    if "boolean" in kinds:
        return ["1", "True", "yes", ""]
    if any(each.get("format") == "date-time" for each in schema.get("oneOf", [schema])):
        return ["1", "yesterday", ""]
    return ["bad"] if any("enum" in each for each in schema.get("oneOf", [schema])) else []


def wrong_values(schema: dict[str, Any]) -> list[Any]:
    largest = [schema["maximum"] + 1] if "maximum" in schema else []
    by_type: dict[str, list[Any]] = {
        "boolean": ["true", "false", 0, 1, None],
        "integer": ["1", 1.5, True, *largest],
        "number": ["1", True, 5e-324, *largest],
        "string": [1, None, *(["x" * (schema["maxLength"] + 1)] if "maxLength" in schema else [])],
        "object": [[], "x"],
        "array": [{}, "x"],
    }
    return by_type.get(schema.get("type", ""), [1.5])


def valid_body(document: dict[str, Any], operation: dict[str, Any]) -> Any:
    """Return the body of a request that its schema permits; None if it has none."""
    if "requestBody" not in operation:
        return None
    schema = resolve(document, operation["requestBody"]["content"]["application/json"]["schema"])
    values: dict[str, Any] = {
        "filter": {"source": "a", "state": "dead"}, "actions": [{"id": "a", "do": "log", "message": "m"}],
        "condition": {"field": "status", "op": "eq", "value": "open"}, "rules": [], "do": "log", "message": "m",
        "event": "e", "record": "pack:customer:1",
    }  # fmt: skip
    named = schema.get("required", ())
    extra = ("event",) if "post" in schema.get("properties", {}) else ()
    return {name: values.get(name, "purchase_order" if name == "type" else "x") for name in (*named, *extra)}


def resolve(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


@pytest.mark.timeout(180)
@pytest.mark.slow
async def test_responses_to_generated_requests_conform_to_the_document(api: Api) -> None:
    await asyncio.to_thread(send_generated_requests, api.url, (await api("GET", DOCUMENT, role=None)).body)


def send_generated_requests(url: str, document: dict[str, Any]) -> None:
    schema: Any = schemathesis.openapi.from_dict(document)
    headers = {"authorization": f"Bearer {TOKENS['admin']}"}
    tested = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if not operation.path.startswith("/api/v1") or operation.path == "/api/v1/live":  # has no end
            continue
        tested += 1

        @given(case=operation.as_strategy())
        @EXAMPLES
        def send(case: Any) -> None:
            response = case.call(base_url=url, headers=headers)
            assert response.status_code not in {500, 501}
            case.validate_response(response, checks=[status_code_conformance, response_schema_conformance])

        send()
    assert tested > 40
