"""Celery with the same work, tuned. It runs in a separate environment (requirements/bench.txt).

python -m tests.bench.rival_celery serve <port>    FastAPI: HMAC, thin decode, dedupe key, apply_async, one line, 202
python -m tests.bench.rival_celery seed <jobs>     fill the queue as the ingress does
celery -A tests.bench.rival_celery worker …        fetch, ten rules, one POST with a ledger, three log lines
"""

# What is imported here lives in that other environment, where no types are checked.
# pyright: basic, reportMissingImports=false, reportUntypedFunctionDecorator=false

import hashlib
import hmac
import logging
import os
import sys
import time
from typing import Any

import msgspec
import redis
import requests
import uvicorn
from celery import Celery
from celery.signals import worker_process_init, worker_ready
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from msgspec import Struct

from tests.bench.material import SECRET_NAME, SOURCE, delivery_body
from tests.bench.rival_log import fast_log
from tests.bench.rival_rules import decode_order, evaluate

CLAIM_SECONDS = 259_200
LEDGER_SECONDS = 1_209_600
HTTP_SECONDS_MAX = 20
THREADS = 40  # as many as FastAPI has

store_path = os.environ.get("WAYBILL_REDIS_URL", "").removeprefix("unix://")
stub = os.environ.get("BENCH_STUB", "")

app = Celery("bench", broker=f"redis+socket://{store_path}")
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    task_serializer="json",
    accept_content=["json"],
    broker_pool_limit=THREADS,
    worker_prefetch_multiplier=4,
    worker_redirect_stdouts=False,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
)

_connections: dict[str, Any] = {}


class Subject(Struct):
    """Record of a delivery."""

    id: str


class Notice(Struct):
    """Fields of a delivery that the ingress reads."""

    event_code: str
    id: str
    data: Subject


_decode = msgspec.json.Decoder(Notice).decode
_secret = os.environ.get(SECRET_NAME, "").encode()


def open_connections(**_: Any) -> None:
    """Open the connections of one process, after the fork."""
    _connections.update(redis=redis.Redis(unix_socket_path=store_path), log=fast_log(), http=requests.Session())


@worker_process_init.connect
def begin(**_: Any) -> None:
    open_connections()


@worker_ready.connect
def print_ready(**_: Any) -> None:
    sys.stdout.write(f"ready {time.monotonic()}\n")
    sys.stdout.flush()


@app.task(name="whole_job", bind=True)
def whole_job(self: Any, _body: str, record_id: str) -> None:
    began, event_id = time.perf_counter(), self.request.id
    log, http, ledger = _connections["log"], _connections["http"], _connections["redis"]
    url = f"{stub}/v1/organizations/org_1/purchase-orders/{record_id}"
    answer = http.get(url, headers={"Authorization": "Bearer bench-token"}, timeout=HTTP_SECONDS_MAX)
    answer.raise_for_status()
    order = decode_order(answer.content)
    log.info("record.fetched", event_id=event_id, http_status=answer.status_code, duration_ms=_since(began))
    for place, body in enumerate(evaluate(order)):
        key = f"effect:{event_id}:{place}"
        if not ledger.set(key, "started", nx=True, ex=LEDGER_SECONDS):
            continue
        headers = {"Idempotency-Key": key}
        sent = http.post(f"{stub}/sink", json=body, headers=headers, timeout=HTTP_SECONDS_MAX)
        sent.raise_for_status()
        ledger.set(key, "done", ex=LEDGER_SECONDS)
        log.info("action.finished", event_id=event_id, http_status=sent.status_code, outcome="ok")
    log.info("attempt.finished", event_id=event_id, outcome="matched", duration_ms=_since(began))


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 2)


def enqueue(body: bytes, event_id: str, record_id: str) -> bool:
    """Set the dedupe key and enqueue. Return False for a duplicate. Delete the key if the queue fails."""
    claim = f"claim:{event_id}"
    if not _connections["redis"].set(claim, 1, nx=True, ex=CLAIM_SECONDS):
        return False
    try:
        whole_job.apply_async((body.decode(), record_id), task_id=event_id)
    except Exception:
        _connections["redis"].delete(claim)
        raise
    return True


async def receive_webhook(request: Request) -> Response:
    body = await request.body()
    expected = hmac.digest(_secret, body, hashlib.sha256).hex()
    if not hmac.compare_digest(expected, request.headers.get("x-signature", "")):
        return Response(status_code=401)
    notice = _decode(body)
    # Celery's client blocks, so that it belongs in a thread: deliveries then share the store's fsync.
    queued = await run_in_threadpool(enqueue, body, f"{SOURCE}:{notice.id}", notice.data.id)
    status = "queued" if queued else "duplicate"
    _connections["log"].info(
        "delivery.received",
        source=SOURCE,
        event_type=notice.event_code,
        event_id=notice.id,
        status=status,
        http_status=202,
    )
    answer = msgspec.json.encode({"status": status, "event_id": notice.id})
    return Response(answer, status_code=202, media_type="application/json")


def serve(port: int) -> None:
    web = FastAPI(openapi_url=None)
    web.post("/webhooks/pack-orders")(receive_webhook)
    logging.disable(logging.INFO)
    uvicorn.run(web, host="127.0.0.1", port=port, loop="uvloop", http="httptools", access_log=False, log_level="error")


def seed(jobs: int) -> None:
    for number in range(jobs):
        record_id = f"po-{number:08d}"
        enqueue(delivery_body(f"e-{number:08d}", record_id), f"{SOURCE}:e-{number:08d}", record_id)


if __name__ == "__main__":
    open_connections()
    {"serve": serve, "seed": seed}[sys.argv[1]](int(sys.argv[2]))
