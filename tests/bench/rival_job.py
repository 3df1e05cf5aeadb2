"""Whole job of the other side over aiohttp: fetch, ten rules, one POST with a ledger, three log lines."""

import time
from typing import Any

import aiohttp

from tests.bench.rival_log import fast_log
from tests.bench.rival_rules import decode_order, evaluate

CONNECTIONS = 100


async def open_client(ctx: dict[Any, Any]) -> None:
    ctx["http"] = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS), timeout=aiohttp.ClientTimeout(20), raise_for_status=True
    )
    ctx["log"] = fast_log()


async def close_client(ctx: dict[Any, Any]) -> None:
    await ctx["http"].close()


async def whole_job(ctx: dict[Any, Any], _body: bytes, record_id: str) -> None:
    began = time.perf_counter()
    log, http, redis, stub = ctx["log"], ctx["http"], ctx["redis"], ctx["stub"]
    url = f"{stub}/v1/organizations/org_1/purchase-orders/{record_id}"
    async with http.get(url, headers={"Authorization": "Bearer bench-token"}) as answer:
        order = decode_order(await answer.read())
    log.info("record.fetched", event_id=ctx["job_id"], http_status=answer.status, duration_ms=_since(began))
    for place, body in enumerate(evaluate(order)):
        key = f"effect:{ctx['job_id']}:{place}"
        if not await redis.set(key, "started", nx=True, ex=1_209_600):
            continue
        async with http.post(f"{stub}/sink", json=body, headers={"Idempotency-Key": key}) as sent:
            await sent.read()
        await redis.set(key, "done", ex=1_209_600)
        log.info("action.finished", event_id=ctx["job_id"], http_status=sent.status, outcome="ok")
    log.info("attempt.finished", event_id=ctx["job_id"], outcome="matched", duration_ms=_since(began))


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 2)
