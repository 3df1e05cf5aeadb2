"""Row `litestar`: microseconds of one delivery through Litestar, compared with the same handler as bare ASGI."""

import hashlib
import hmac

import uvloop
from litestar.routes import ASGIRoute

from service.config import Config
from service.ingress.app import WEBHOOKS_PATH
from service.settings import Settings
from tests.bench.local_app import delivery_us, open_app, prepare
from tests.bench.material import SECRET, SOURCE, delivery_body
from tests.bench.stage import Stage
from tests.bench.table import Line, within

SAMPLES = 200
BUDGET_US = 6.0


def measure(stage: Stage, repeats: int, *, quick: bool) -> list[Line]:
    """Handle the same delivery in this process, by turns; the least of many short samples, in CPU time."""
    config = prepare(stage)
    bare, through = uvloop.run(_run(stage.settings(), config, max(repeats, 1) * SAMPLES, 20 if quick else 50))
    detail = f"the handler as bare ASGI {bare:.1f} us, through Litestar {through:.1f} us; the store answers at once"
    return [within("litestar: its part of a delivery", through - bare, "us", BUDGET_US, detail)]


async def _run(settings: Settings, config: Config, samples: int, loops: int) -> tuple[float, float]:
    body = delivery_body("event-1", "po-1")
    headers = {"x-signature": hmac.digest(SECRET.encode(), body, hashlib.sha256).hex()}
    async with open_app(settings, config) as app:
        [mount] = [route for route in app.routes if isinstance(route, ASGIRoute)]
        times: dict[str, list[float]] = {"bare": [], "litestar": []}
        for _ in range(samples):
            times["bare"].append(await delivery_us(mount.route_handler.fn, f"/{SOURCE}", headers, body, loops))
            times["litestar"].append(await delivery_us(app, f"{WEBHOOKS_PATH}/{SOURCE}", headers, body, loops))
    return min(times["bare"]), min(times["litestar"])
