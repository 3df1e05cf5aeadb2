"""OpenAPI document of the admin API, and generated requests: every response conforms to the document."""

# The types of schemathesis are incomplete.
# pyright: reportUnknownVariableType=false

import asyncio
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from tests.examples import examples
from tests.service.ingress.admin.conftest import TOKENS, Api

pytestmark = pytest.mark.store

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
        if not operation.path.startswith("/api/v1"):
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
