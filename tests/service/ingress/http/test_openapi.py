"""OpenAPI document: generated requests to a real process get only documented responses and no 5xx."""

# The types of schemathesis are incomplete.
# pyright: reportUnknownVariableType=false

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from service.ingress.http.openapi import PATH, openapi_document
from tests.examples import examples
from tests.service.ingress.conftest import Start, signed

pytestmark = pytest.mark.slow

EXAMPLES = settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    phases=[Phase.explicit, Phase.generate],
    derandomize=True,
    database=None,
)


@pytest.fixture
async def ports(start: Start, valkey_url: str) -> AsyncIterator[tuple[str, str]]:
    serving = await start(redis_url=valkey_url, address_rejections_per_second_max=0)
    started = await serving.line("process.started")
    draining = asyncio.create_task(serving.process.stdout.read())
    yield f"http://127.0.0.1:{started['port']}", f"http://127.0.0.1:{started['admin_port']}"
    draining.cancel()


async def test_openapi_document_is_served_on_the_admin_port_only(
    ports: tuple[str, str], client: aiohttp.ClientSession
) -> None:
    webhook_url, admin_url = ports
    async with client.get(admin_url + PATH) as response:
        assert (response.status, response.content_type) == (200, "application/json")
        assert await response.read() == openapi_document()
    async with client.get(webhook_url + PATH) as response:
        assert response.status == 404


async def test_documented_requests_get_documented_responses(ports: tuple[str, str]) -> None:
    await asyncio.to_thread(send_documented_requests, ports[0])


def send_documented_requests(url: str) -> None:
    schema: Any = schemathesis.openapi.from_dict(msgspec.json.decode(openapi_document()))
    operations = [operation.ok() for operation in schema.get_all_operations()]
    assert len(operations) == 8
    for operation in operations:

        @given(case=operation.as_strategy())
        @EXAMPLES
        def send(case: Any) -> None:
            if "source" in case.path_parameters:
                case.path_parameters["source"] = "erp-orders"
            response = case.call(base_url=url)
            checks = [not_a_server_error, status_code_conformance, response_schema_conformance]
            case.validate_response(response, checks=checks)

        send()


async def test_signed_bodies_never_cause_a_5xx(ports: tuple[str, str]) -> None:
    await asyncio.to_thread(send_signed_bodies, ports[0])


def send_signed_bodies(url: str) -> None:
    json = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    )
    event = st.fixed_dictionaries({"id": json, "type": json, "order": json})
    session = requests.Session()

    @given(body=st.binary(max_size=200) | (json | event).map(msgspec.json.encode))
    @EXAMPLES
    def send(body: bytes) -> None:
        response = session.post(f"{url}/webhooks/erp-orders", data=body, headers=signed(body))
        assert response.status_code in {202, 400, 422}

    with session:
        send()
