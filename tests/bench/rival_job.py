"""Whole job of the other side over httpx: fetch, ten rules, one POST with a ledger, three log lines."""

import logging
import time
from typing import Any

import httpx

from tests.bench.rival_log import fast_log
from tests.bench.rival_rules import decode_order, evaluate

CONNECTIONS = 100


async def open_client(ctx: dict[Any, Any]) -> None:
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    ctx["http"] = httpx.AsyncClient(limits=limits, timeout=20)
    ctx["log"] = fast_log()
    logging.getLogger("httpx").setLevel(logging.WARNING)


async def close_client(ctx: dict[Any, Any]) -> None:
    await ctx["http"].aclose()


async def whole_job(ctx: dict[Any, Any], _body: bytes, record_id: str) -> None:
    began = time.perf_counter()
    log, http, redis, stub = ctx["log"], ctx["http"], ctx["redis"], ctx["stub"]
    url = f"{stub}/v1/organizations/org_1/purchase-orders/{record_id}"
    answer = await http.get(url, headers={"Authorization": "Bearer bench-token"})
    answer.raise_for_status()
    order = decode_order(answer.content)
    log.info("record.fetched", event_id=ctx["job_id"], http_status=answer.status_code, duration_ms=_since(began))
    for place, body in enumerate(evaluate(order)):
        key = f"effect:{ctx['job_id']}:{place}"
        if not await redis.set(key, "started", nx=True, ex=1_209_600):
            continue
        sent = await http.post(f"{stub}/sink", json=body, headers={"Idempotency-Key": key})
        sent.raise_for_status()
        await redis.set(key, "done", ex=1_209_600)
        log.info("action.finished", event_id=ctx["job_id"], http_status=sent.status_code, outcome="ok")
    log.info("attempt.finished", event_id=ctx["job_id"], outcome="matched", duration_ms=_since(began))


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 2)
