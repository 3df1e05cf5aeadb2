"""Row `deliveries`: CPU time of one delivery with a feature of the ingress, compared with one of 1 KB and HMAC."""

import base64
import gzip
import json
import time

import uvloop
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from msgspec import Struct

from service.config import Config
from service.events import Delivery
from service.ingress.app import WEBHOOKS_PATH
from service.settings import Settings
from tests.bench.local_app import delivery_us, open_app, prepare
from tests.bench.material import SECRET, SOURCE, delivery_body
from tests.bench.stage import Stage
from tests.bench.table import Line, dearer

SAMPLES = 60
BATCH_EVENTS = 32
LARGE_BYTES = 262_144
PLAIN = "HMAC, 1 KB"

SOURCES = """
  preset: {{platform: pack, preset: stripe, secrets: [{{env: BENCH_SECRET}}], record: purchase_order}}
  ecdsa:
    platform: pack
    verify: {{scheme: public_key, header: X-Signature, algorithm: ecdsa_sha256, public_keys: [{ecdsa}]}}
    envelope: platform
  message-signature:
    platform: pack
    verify: {{scheme: http_message_signatures, algorithm: ed25519, public_keys: [{ed25519}]}}
    envelope: platform
  batch:
    platform: pack
    verify: {{scheme: hmac, header: X-Signature, secrets: [{{env: BENCH_SECRET}}]}}
    envelope: {{kind: custom, each: "", id: /id, type: /event_code, record: {{kind: purchase_order, id: /data/id}}}}
rules: []
"""


class Case(Struct, frozen=True):
    """Delivery with a feature."""

    name: str
    source: str
    headers: dict[str, str]
    body: bytes


def measure(stage: Stage, repeats: int, *, quick: bool) -> list[Line]:
    """Handle one delivery of each kind in this process, by turns; the least of many short samples, in CPU time."""
    elliptic, edwards = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
    keys = {"ecdsa": elliptic, "message-signature": edwards}
    public = [
        json.dumps(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())
        for key in keys.values()
    ]
    path = stage.directory / "waybill.yaml"
    path.write_text(path.read_text().replace("\nrules: []\n", SOURCES.format(ecdsa=public[0], ed25519=public[1])))
    config = prepare(stage)
    secrets = {
        name: key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        for name, key in keys.items()
    }
    times = uvloop.run(_run(stage.settings(), config, _cases(config, secrets), repeats * (20 if quick else SAMPLES)))
    plain = times.pop(PLAIN)
    return [dearer(f"delivery, {name}", us, PLAIN, plain) for name, us in times.items()]


def _cases(config: Config, secrets: dict[str, str]) -> list[Case]:
    body = delivery_body("event-1", "po-1")
    packed = gzip.compress(body)
    several = b"[%b]" % b",".join(delivery_body(f"event-{number}", f"po-{number}") for number in range(BATCH_EVENTS))
    # No JSON writer of a platform compresses, so that the large body is as long as it is.
    large = body.replace(b'"note":"', b'"note":"' + base64.b64encode(bytes(LARGE_BYTES)))
    stripe = json.dumps({"id": "evt_1", "type": "purchase_order.updated", "data": {"object": {"id": "po-1"}}}).encode()

    def case(name: str, source: str, sent: bytes) -> Case:
        scheme = config.sources[source].verify
        assert scheme is not None
        headers = {"content-type": "application/json", "host": "localhost"}
        delivery = Delivery(source, headers, sent, time.time(), "192.0.2.1", None, "")
        signed = scheme.sign_delivery(delivery, secrets.get(source, SECRET), "event-1").headers
        return Case(name, source, {each: value for each, value in signed.items() if each not in headers}, sent)

    zipped = case("gzip", SOURCE, body)
    return [
        case(PLAIN, SOURCE, body),
        case("preset of a sender (Stripe)", "preset", stripe),
        case("ECDSA P-256", "ecdsa", body),
        case("HTTP Message Signature, Ed25519", "message-signature", body),
        Case(zipped.name, SOURCE, zipped.headers | {"content-encoding": "gzip"}, packed),
        case(f"batch of {BATCH_EVENTS} events", "batch", several),
        case(f"body of {LARGE_BYTES // 1024} KB", SOURCE, large),
    ]


async def _run(settings: Settings, config: Config, cases: list[Case], samples: int) -> dict[str, float]:
    times: dict[str, list[float]] = {case.name: [] for case in cases}
    async with open_app(settings, config) as app:
        for _ in range(samples):
            for case in cases:
                path = f"{WEBHOOKS_PATH}/{case.source}"
                loops = 1 if len(case.body) > LARGE_BYTES else 10
                times[case.name].append(await delivery_us(app, path, case.headers, case.body, loops))
    return {name: min(each) for name, each in times.items()}
