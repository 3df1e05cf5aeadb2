"""Limit of the bytes of look-ups: the same records are beyond it for each order of the responses."""

import asyncio
from collections.abc import Sequence
from itertools import permutations

import pytest

from service import lookups
from service.events import RecordRef
from service.lookups import RecordLookups
from service.platforms.base import FetchedRecord
from service.rules.lookups import LookupRequest
from tests.service.rules.rule_samples import order
from tests.waiting import until

SIZES = {"a": 60, "b": 40, "c": 30, "d": 1}
LIMIT = SIZES["a"] + SIZES["b"]


@pytest.mark.parametrize("responses", list(permutations(SIZES)), ids="".join)
async def test_records_beyond_the_limit_are_those_requested_last(
    monkeypatch: pytest.MonkeyPatch, responses: Sequence[str]
) -> None:
    monkeypatch.setattr(lookups, "LOOKUP_BYTES_MAX", LIMIT)
    refs = {each: RecordRef("erp", "supplier", each) for each in SIZES}
    answered = {each: asyncio.Event() for each in SIZES}

    async def fetch(ref: RecordRef) -> FetchedRecord:
        await answered[ref.id].wait()
        return FetchedRecord(order(), {}, None, "d", 200, "get", 1.0, SIZES[ref.id])

    found = RecordLookups()
    running = asyncio.create_task(found.run([LookupRequest(ref, retries=True) for ref in refs.values()], fetch))
    for each in responses:
        answered[each].set()
        await until(lambda each=each: refs[each].lane in found.found)
        kept = sum(SIZES[result.ref.id] for result in found.found.values() if result.record is not None)
        assert kept == found.body_bytes <= LIMIT, "no more bytes are in memory meanwhile"
    await running
    kinds = {result.ref.id: result.error_kind for result in found.found.values()}
    assert kinds == {"a": "", "b": "", "c": "lookup_too_large", "d": "lookup_too_large"}
    assert found.body_bytes == LIMIT
