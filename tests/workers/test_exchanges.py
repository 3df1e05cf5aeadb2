"""Exchanges of effects: each attempt keeps request, response and connection, limited and without secrets."""

import asyncio
import json
import shlex
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from service.exchange import Exchange
from service.exchange_text import format_curl, format_exchange
from service.management.event_view import EventView, view_event
from service.settings import Settings
from tests.workers.harness import WorkerHarness, open_harness
from workers.processing.exchanges import ExchangeLimits, store_exchange

SECRET = "s3cr3t-value-4711"
RULE = """
- id: short
  type: purchase_order
  actions: [{id: claim, do: http, url: "TARGET/claims?of={id}", headers: {X-Order: "{id}"}, body: {order: "{id}"}}]
"""
LIMITS = ExchangeLimits(5, 2_048, 2_048)


class Target:
    """Server that answers with `status`, `headers` and `body`, and keeps the requests."""

    def __init__(self) -> None:
        self.url = ""
        self.status, self.body = 200, b'{"ok":true}'
        self.headers = {"Content-Type": "application/json"}
        self.requests: list[tuple[str, str, Mapping[str, str], bytes]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.append((request.method, request.raw_path, request.headers, await request.read()))
        return web.Response(status=self.status, body=self.body, headers=self.headers)


@asynccontextmanager
async def running_target() -> AsyncGenerator[Target]:
    target, app = Target(), web.Application()
    app.router.add_route("*", "/{path:.*}", target.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    target.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield target
    await runner.cleanup()


async def exchanges(harness: WorkerHarness, event_id: str) -> list[dict[str, Any]]:
    history = (await harness.stored_event(event_id))["history"]
    return [line["exchange"] for line in history if "exchange" in line]


async def view(harness: WorkerHarness, event_id: str, visibility: Any) -> EventView:
    return view_event("main", await harness.stored_event(event_id), 0, visibility)


@pytest.mark.store
async def test_a_rejected_effect_keeps_its_exchange_and_the_words_of_the_target(settings: Settings) -> None:
    async with running_target() as target, open_harness(settings) as harness:
        target.status = 422
        target.body = json.dumps({"error": "order field is required", "token": SECRET, "email": "a@x.test"}).encode()
        await harness.publish(RULE.replace("TARGET", target.url))
        event_id = await harness.send()
        await harness.run_worker()
        stored = await harness.stored_event(event_id)
        host = target.url.removeprefix("http://")
        (effect,) = [line for line in stored["history"] if line["entry"] == "effect"]
        assert (stored["state"], effect["error"]) == ("dead", f"{host} answered 422: order field is required")
        assert SECRET not in json.dumps(stored["history"])

        raw = (await view(harness, event_id, "raw")).history[-2]["exchange"]
        request, response = raw["request"], raw["response"]
        assert (request["method"], request["url"]) == ("POST", f"{target.url}/claims?of=po-1")
        assert request["headers"]["x-order"] == "po-1"
        assert request["headers"]["idempotency-key"] == target.requests[0][2]["Idempotency-Key"]
        assert (request["body"], request["body_bytes"]) == ('{"order":"po-1"}', 16)
        assert (response["status"], response["body_bytes"]) == (422, len(target.body))
        assert json.loads(response["body"]) == {
            "error": "order field is required", "token": "[redacted]", "email": "a@x.test",
        }  # fmt: skip
        assert response["headers"]["content-type"] == "application/json"
        assert (raw["peer"], raw["duration_ms"] > 0) == (host, True)
        assert "tls" not in raw

        redacted = (await view(harness, event_id, "redacted")).history[-2]["exchange"]
        assert json.loads(redacted["response"]["body"])["email"] == "[redacted]"
        assert redacted["request"]["body"] == '{"order":"po-1"}'
        outline = (await view(harness, event_id, "outline")).history[-2]["exchange"]
        assert outline == {"response": {"status": 422}, "duration_ms": raw["duration_ms"], "peer": host}
        text = "\n".join(format_exchange(redacted))
        assert text.startswith(f"POST {target.url}/claims?of=po-1 -> 422 after {raw['duration_ms']} ms, peer {host}\n")
        assert '\n  > {"order":"po-1"}\n' in text
        assert '\n  < {"error": "order field is required", "token": "[redacted]"' in text


@pytest.mark.store
async def test_failed_attempts_keep_the_first_exchanges_and_the_last_one(
    make_settings: Callable[..., Settings],
) -> None:
    settings = make_settings(exchanges_max=2, attempts_max=5, backoff_base_seconds=0.01, wake_timeout_seconds=0.05)
    async with running_target() as target, open_harness(settings) as harness:
        target.status = 408
        await harness.publish(RULE.replace("TARGET", target.url))
        event_id = await harness.send()
        await harness.run_worker()
        stored = await harness.stored_event(event_id)
        assert (stored["state"], len(target.requests)) == ("dead", 5)
        kept = [(line["attempt"], "exchange" in line) for line in stored["history"] if line["entry"] == "effect"]
        assert kept == [(1, True), (2, True), (3, False), (4, False), (5, True)]


@pytest.mark.store
async def test_an_effect_without_a_response_keeps_its_request(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(attempts_max=1)
    async with running_target() as target, open_harness(settings) as harness:
        await harness.publish(RULE.replace("TARGET", "http://127.0.0.1:1"))
        event_id = await harness.send()
        await harness.run_worker()
        shown = (await view(harness, event_id, "raw")).history[-2]["exchange"]
        assert shown["request"]["url"] == "http://127.0.0.1:1/claims?of=po-1"
        assert not {"response", "peer"} & set(shown)
        assert next(format_exchange(shown)).startswith("POST http://127.0.0.1:1/claims?of=po-1 -> no response after ")
        assert target.requests == []


@pytest.mark.store
async def test_without_a_limit_no_exchange_is_stored(make_settings: Callable[..., Settings]) -> None:
    async with running_target() as target, open_harness(make_settings(exchanges_max=0)) as harness:
        await harness.publish(RULE.replace("TARGET", target.url))
        event_id = await harness.send()
        await harness.run_worker()
        assert (len(target.requests), await exchanges(harness, event_id)) == (1, [])


def exchange_of(**fields: Any) -> Exchange:
    return Exchange(method="POST", url="https://x.test/a", status=200, **fields)


@pytest.mark.parametrize("length", [2_047, 2_048, 2_049, 100_000])
def test_a_body_is_stored_up_to_its_limit(length: int) -> None:
    stored = store_exchange(exchange_of(body=b"a" * length, response_body=b"b" * length), {}, LIMITS)
    assert stored is not None
    assert stored.response is not None
    kept = min(length, 2_048)
    assert (stored.request.body, stored.request.body_bytes) == ("a" * kept, length)
    assert (stored.response.body, stored.response.body_bytes) == ("b" * kept, length)


def test_headers_are_stored_up_to_their_limit_together() -> None:
    headers = {f"x-{number}": "v" * 997 for number in range(5)}
    stored = store_exchange(exchange_of(headers=headers, response_headers=headers), {}, LIMITS)
    assert stored is not None
    assert stored.response is not None
    assert list(stored.request.headers) == list(stored.response.headers) == ["x-0", "x-1"]


def test_a_secret_across_the_limit_leaves_no_part() -> None:
    for length in range(2_030, 2_050):
        body = b"a" * length + SECRET.encode() + b"z" * 10
        stored = store_exchange(exchange_of(body=body, secrets=[SECRET]), {}, LIMITS)
        assert stored is not None
        assert "s3cr" not in (stored.request.body or "")


def test_secrets_are_removed_wherever_they_are_sent_or_answered() -> None:
    exchange = exchange_of(
        secrets=[f"{SECRET} ä"],
        headers={"Authorization": "Basic dXNlcjpwYXNz", "X-Shop": f"{SECRET} ä", "X-Plain": "plain"},
        body=json.dumps({"key": f"{SECRET} ä", "again": "dXNlcjpwYXNz", "password": "hunter2"}).encode(),
        response_headers={"set-cookie": "session=hunter2", "x-echo": "Basic dXNlcjpwYXNz"},
        response_body=f"<e token='hunter2'>{SECRET} ä dXNlcjpwYXNz</e>".encode(),
    )
    exchange.url = f"https://x.test/{SECRET}%20%C3%A4/a?api_key=hunter2"
    stored = repr(store_exchange(exchange, {}, LIMITS))
    assert not [text for text in (SECRET, "dXNlcjpwYXNz", "hunter2") if text in stored]
    assert "'X-Plain': 'plain'" in stored


def test_a_binary_body_is_not_stored_as_text() -> None:
    stored = store_exchange(exchange_of(response_body=b"\x00\xff" * 50), {}, LIMITS)
    assert stored is not None
    assert stored.response is not None
    assert (stored.response.body, stored.response.body_bytes) == ("[binary]", 100)


@given(st.binary(max_size=300), st.binary(max_size=300), st.dictionaries(st.text(max_size=9), st.text(max_size=9)))
def test_any_exchange_can_be_stored(body: bytes, answer: bytes, headers: dict[str, str]) -> None:
    exchange = exchange_of(headers=headers, body=body, response_headers=headers, response_body=answer)
    assert store_exchange(exchange, {"body": {"a": 1}, "headers": headers}, LIMITS) is not None


# --- curl ---


def request_of(**fields: Any) -> dict[str, Any]:
    request: dict[str, Any] = {"method": "POST", "url": "http://x.test/", "headers": {}, "body": "", **fields}
    return {"request": {"body_bytes": len(request["body"].encode()), **request}}


async def run_shell(command: str, **environ: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", command, env={"PATH": "/usr/bin:/bin", **environ}, stdout=PIPE, stderr=PIPE
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors
    return output.decode()


@pytest.mark.slow
async def test_the_curl_command_sends_the_request_again() -> None:
    body = json.dumps({"note": 'it\'s $HOME `id` "x" \\n {a,b} [1-3]\né', "auth": {"token": "T"}}, ensure_ascii=False)
    async with running_target() as target:
        shown = request_of(
            method="PUT",
            url=f"{target.url}/a/{{x,y}}[1-2]?q=%20&key=[redacted]",
            headers={"Authorization": "[redacted]", "X-It": "it's $HOME", "Content-Type": "application/json"},
            body=body.replace('"T"', '"[redacted]"'),
        )
        command = "\n".join(format_curl(shown))
        assert command.startswith("# redacted, set before: AUTHORIZATION, REDACTED\n")
        await run_shell(command, AUTHORIZATION="Bearer x'y", REDACTED="T")
        ((method, path, headers, sent),) = target.requests
        assert (method, path) == ("PUT", "/a/{x,y}[1-2]?q=%20&key=T")
        assert (headers["Authorization"], headers["X-It"]) == ("Bearer x'y", "it's $HOME")
        assert sent.decode() == body
        await run_shell("\n".join(format_curl(request_of(url=target.url, body="plain"))))
        await run_shell("\n".join(format_curl(request_of(url=target.url, method="DELETE"))))
        assert [(method, sent) for method, _, _, sent in target.requests[1:]] == [("POST", b"plain"), ("DELETE", b"")]
        assert "Content-Type" not in target.requests[1][2]


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)


@given(TEXT, TEXT)
def test_a_shell_reads_each_part_of_the_command_as_one_word(value: str, body: str) -> None:
    command = "\n".join(format_curl(request_of(url="http://x.test/?" + value, headers={"X-A": value}, body=body)))
    words = shlex.split(command.replace(" \\\n  ", " "))  # shlex does not join lines
    assert words[:5] == ["curl", "--globoff", "--request", "POST", "http://x.test/?" + value]
    assert words[5:7] == ["--header", f"X-A: {value}"]
    assert words[7:] == (["--header", "Content-Type:", "--data-raw", body] if body else [])


def test_the_curl_command_of_an_incomplete_body_says_so() -> None:
    lines = list(format_curl({"request": {**request_of(body="abc")["request"], "body_bytes": 10}}))
    assert lines[0] == "# the last 7 of 10 bytes of the body were not stored"
