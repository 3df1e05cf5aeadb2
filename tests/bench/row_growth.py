"""Row `growth`: CPU time of one delivery, event, rule or line, among many of them and among few."""

import hashlib
import hmac
import time
from datetime import UTC, datetime

import uvloop
from msgspec import structs

from service.actions import load_actions
from service.config import Config
from service.ingress.app import WEBHOOKS_PATH
from service.rules import Evidence, Rulebook, Subject
from service.settings import Settings
from tests.bench.local_app import delivery_us, open_app, prepare
from tests.bench.material import (
    OTHER_RULE,
    REFERENCE_RULE,
    SECRET,
    SOURCE,
    decoded_order,
    delivery_body,
    stored_event,
)
from tests.bench.seeding import rule_document, seed_own
from tests.bench.stage import MEASURED, Stage
from tests.bench.table import Line, dearer, middle

SOURCES = 1_000
EVENTS_FEW, EVENTS = 500, 4_000
RULES_FEW, RULES = 10, 1_000
LINES_FEW, LINES = 30, 5_000
DELIVERIES = 20
WORK_MAX = 100_000
"""Rules times lines that one sample of a decision evaluates."""


def measure(stage: Stage, repeats: int, *, quick: bool) -> list[Line]:
    """Measure each pair by turns: the least of many samples in this process, the median of the runs of a worker."""
    samples = 7 if quick else 21
    one, many = uvloop.run(_deliveries(stage.settings(), prepare(stage), samples))
    runs = [(_event_us(stage, EVENTS_FEW), _event_us(stage, EVENTS)) for _ in range(repeats)]
    few = _decision_us(RULES_FEW, LINES_FEW, samples)
    rules, lines = _decision_us(RULES, LINES_FEW, samples), _decision_us(RULES_FEW, LINES, samples)
    short, long = (middle(each) for each in zip(*runs, strict=True))
    return [
        dearer(f"growth: delivery, {SOURCES:,} sources", many, "1 source", one),
        dearer(f"growth: event, {EVENTS:,} of its record wait", long, f"{EVENTS_FEW} wait", short),
        dearer(f"growth: rule, one of {RULES:,} that apply", rules / RULES, f"one of {RULES_FEW}", few / RULES_FEW),
        dearer(f"growth: line, one of {LINES:,}", lines / LINES, f"one of {LINES_FEW}", few / LINES_FEW),
    ]


async def _deliveries(settings: Settings, config: Config, samples: int) -> tuple[float, float]:
    """Return the time of a delivery with one source and with many, in microseconds."""
    body = delivery_body("event-1", "po-1")
    headers = {"x-signature": hmac.digest(SECRET.encode(), body, hashlib.sha256).hex()}
    others = {f"other-{number}": config.sources[SOURCE] for number in range(1, SOURCES)}
    larger = structs.replace(config, sources={**others, **config.sources})
    times: tuple[list[float], list[float]] = ([], [])
    async with open_app(settings, config) as app, open_app(settings, larger) as larger_app:
        for _ in range(samples * DELIVERIES):
            for each, found in zip((app, larger_app), times, strict=True):
                found.append(await delivery_us(each, f"{WEBHOOKS_PATH}/{SOURCE}", headers, body, DELIVERIES))
    return min(times[0]), min(times[1])


def _event_us(stage: Stage, events: int) -> float:
    """Return the time of one of the events of a record that is in memory, in microseconds."""
    seed_own(stage, REFERENCE_RULE, events, records=1)
    return stage.run("own_worker", MEASURED, "cached").result()["cpu_seconds"] / events * 1_000_000


def _decision_us(rules: int, lines: int, samples: int) -> float:
    """Return the time of one decision with evidence, in microseconds."""
    texts = (OTHER_RULE.replace("NUMBER", str(number)) for number in range(1, rules + 1))
    text = "".join(texts).replace("SINK", "https://erp.example.com/claims")
    book, order, now = (
        Rulebook.load(rule_document(text), load_actions()),
        decoded_order("po-1", lines),
        datetime.now(UTC),
    )
    event, loops = stored_event(1), WORK_MAX // (rules * lines) + 1
    times: list[float] = []
    for _ in range(samples):
        began = time.process_time()
        for _ in range(loops):
            evidence = Evidence()
            book.evaluate(Subject(event, order, {}), now, evidence)
            evidence.by_rule()
        times.append((time.process_time() - began) / loops * 1_000_000)
    return min(times)
