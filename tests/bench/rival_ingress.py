"""Ingress of the other side: Litestar and uvicorn, tuned.

python -m tests.bench.rival_ingress <port> arq    raw body, HMAC, thin decode, enqueue_job with a job id, one line, 202
python -m tests.bench.rival_ingress <port> bare   reads the body and responds
"""

import hashlib
import hmac
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import uvicorn
from arq import ArqRedis, create_pool
from arq.connections import RedisSettings
from litestar import Litestar, Request, Response, post
from litestar.status_codes import HTTP_202_ACCEPTED, HTTP_401_UNAUTHORIZED
from msgspec import Struct

from tests.bench.material import SECRET_NAME, SOURCE
from tests.bench.rival_log import fast_log

AnyRequest = Request[Any, Any, Any]


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


@asynccontextmanager
async def connected(app: Litestar) -> AsyncGenerator[None]:
    path = os.environ["WAYBILL_REDIS_URL"].removeprefix("unix://")
    app.state.pool = await create_pool(RedisSettings(unix_socket_path=path))
    app.state.log = fast_log()
    yield
    await app.state.pool.aclose()


@post("/webhooks/pack-orders", status_code=HTTP_202_ACCEPTED)
async def receive_webhook(request: AnyRequest) -> Response[dict[str, Any]]:
    body = await request.body()
    expected = hmac.digest(_secret, body, hashlib.sha256).hex()
    if not hmac.compare_digest(expected, request.headers.get("x-signature", "")):
        return Response({"status": "rejected"}, status_code=HTTP_401_UNAUTHORIZED)
    notice = _decode(body)
    pool: ArqRedis = request.app.state.pool
    job = await pool.enqueue_job("whole_job", body, notice.data.id, _job_id=f"{SOURCE}:{notice.id}")
    status = "queued" if job else "duplicate"
    request.app.state.log.info(
        "delivery.received",
        source=SOURCE,
        event_type=notice.event_code,
        event_id=notice.id,
        status=status,
        http_status=202,
    )
    return Response({"status": status, "event_id": notice.id}, status_code=HTTP_202_ACCEPTED)


@post("/webhooks/bare", status_code=HTTP_202_ACCEPTED)
async def read_only(request: AnyRequest) -> dict[str, str]:
    await request.body()
    return {"status": "queued"}


def main() -> None:
    app = Litestar([receive_webhook], lifespan=[connected]) if sys.argv[2] == "arq" else Litestar([read_only])
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="error",
    )


if __name__ == "__main__":
    main()
