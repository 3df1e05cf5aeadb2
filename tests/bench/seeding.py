"""Filling of the queues before a measurement."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop
from arq import create_pool
from arq.connections import RedisSettings
from msgspec import structs

from service.actions import load_actions
from service.events import Event
from service.rules import document_version, read_rule_files, write_document
from service.settings import Settings
from service.store import IngestRequest, Shards, open_shards
from tests.bench.material import delivery_body, stored_event
from tests.bench.stage import Stage

EVENTS_PER_CALL = 500
WINDOW_MS = 259_200_000
SECONDS_MAX = 120.0
"""Timeout of a call. The disk of a busy machine may be slow for longer than the default of 5 s."""


def rule_document(text: str) -> bytes:
    """Return the canonical document of rules."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rules.yaml"
        path.write_text(text)
        (file,) = read_rule_files([path], load_actions())
    return write_document(file.rules)


def seed_own(
    stage: Stage, rules: str, events: int, body_of: Callable[[int], bytes] | None = None, records: int | None = None
) -> int:
    """Empty the store, publish the rules, ingest events of a record each, or of `records` records.

    Returns:
        The bytes of all bodies.
    """
    stage.clear()
    return uvloop.run(_seed_own(stage.settings(), rules, events, body_of, records or events))


async def _seed_own(
    settings: Settings, rules: str, events: int, body_of: Callable[[int], bytes] | None, records: int
) -> int:
    store = await open_shards(structs.replace(settings, store_timeout_seconds=SECONDS_MAX))
    document = rule_document(rules)
    await store.home.rulebook.publish(document_version(document), document, "bench", "", None)
    body_bytes = 0
    for first in range(0, events, EVENTS_PER_CALL):
        numbers = range(first, min(first + EVENTS_PER_CALL, events))
        taken = [stored_event(number % records, body_of and body_of(number)) for number in numbers]
        body_bytes += sum(len(event.body) for event in taken)
        await _take_in(store, taken)
    await store.close()
    return body_bytes


async def _take_in(store: Shards, events: Sequence[Event]) -> None:
    # A claim of the real length: the digest is 24 characters.
    await store.ingest_all([IngestRequest(event, event.id[-24:], WINDOW_MS, b"digest") for event in events])


def seed_arq(stage: Stage, jobs: int) -> None:
    """Empty the store and enqueue `jobs` jobs with bodies of 1 KB, as the ingress on arq does."""
    stage.clear()
    uvloop.run(_seed_arq(stage.valkey.url.removeprefix("unix://"), jobs))


async def _seed_arq(path: str, jobs: int) -> None:
    pool = await create_pool(RedisSettings(unix_socket_path=path))
    for number in range(jobs):
        record_id = f"po-{number:08d}"
        body = delivery_body(f"e-{number:08d}", record_id)
        await pool.enqueue_job("whole_job", body, record_id, _job_id=f"pack-orders:e-{number:08d}")
    await pool.aclose()
