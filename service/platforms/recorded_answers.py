"""What a platform answered, kept by hand, read as its connector reads it: for examples beside rules. No network.

A built-in platform is named by its kind and needs no configuration; a custom one by its account, whose map is needed.
"""

import difflib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from service.config.platforms import CustomConfig, PlatformConfig
from service.errors import ConfigError, PermanentError, TransientError
from service.platforms.api.coercion import JsonObject
from service.platforms.api.decoding import decode_body
from service.platforms.api.responses import PlatformResponse
from service.platforms.custom.connector import compile_fields, read_answer
from service.platforms.flow_retail import records as flow_retail_records
from service.platforms.open_food_network import client as open_food_network_client
from service.platforms.pack_cloud import records as pack_cloud_records
from service.platforms.pexip_engage import client as pexip_engage_client
from service.platforms.registry import record_location
from service.records import Record, Timestamp

AnswerReader = Callable[[PlatformResponse, "RecordedAnswer"], tuple[JsonObject, Record, Timestamp]]


class RecordedAnswer(Struct, frozen=True):
    """One answer: whose (`platform` is a kind, or an account of waybill.yaml), of which kind of record, and its JSON.

    `currency` is that of a Flow Retail tenant, which stands in none of its records.
    """

    platform: str
    kind: str
    answer: Any
    currency: str | None = None


NO_ID = "example"
"""The id of a record whose platform does not state it in the answer, as purchase orders of Flow Retail."""

_READERS: Mapping[str, Mapping[str, AnswerReader]] = {
    "pack_cloud": {
        "purchase_order": lambda reply, _: pack_cloud_records.read_purchase_order(reply),
        "customer": lambda reply, _: pack_cloud_records.read_customer(reply),
    },
    "pexip_engage": {"customer": lambda reply, _: pexip_engage_client.read_customer(reply)},
    "open_food_network": {"customer": lambda reply, _: open_food_network_client.read_customer(reply)},
    "flow_retail": {
        "purchase_order": lambda reply, recorded: flow_retail_records.read_purchase_order(
            reply, NO_ID, recorded.currency
        ),
        "customer": lambda reply, recorded: flow_retail_records.read_customer(reply, NO_ID, recorded.currency),
    },
}
"""How each built-in platform's records are read, by kind of platform and of record."""


def read_recorded_answer(
    captured: RecordedAnswer, accounts: Mapping[str, PlatformConfig], at: str
) -> tuple[Record, Any]:
    """Give the record, and what rules see of it as `raw`; `at` is where it is written.

    Raises:
        ConfigError: no such platform, no such kind of record there, or no such answer as it gives.
    """
    read = _reader(captured, accounts, at)
    try:
        plain = decode_body(msgspec.json.encode(captured.answer), 200)
        node, record, _ = read(PlatformResponse(200, plain, 0.0), captured)
    except (PermanentError, TransientError) as error:
        fix = "give the platform's answer whole, as its API gives it"
        raise ConfigError(f"{at}.raw", str(error), fix) from None
    return record, node


def _reader(captured: RecordedAnswer, accounts: Mapping[str, PlatformConfig], at: str) -> AnswerReader:
    name, config = captured.platform, accounts.get(captured.platform)
    if isinstance(config, CustomConfig):
        return _custom_reader(config, captured, at)
    kind = str(config.__struct_config__.tag) if config is not None else name
    if kind not in _READERS:
        known = [*_READERS, *accounts]
        near = difflib.get_close_matches(name[:64], known, 1)
        fix = f"did you mean {near[0]}?" if near else f"take one of {', '.join(known)}, or an account of waybill.yaml"
        raise ConfigError(f"{at}.platform", f"no platform {name[:64]!r}", fix)
    if captured.kind not in _READERS[kind]:
        raise ConfigError(
            f"{at}.type", f"{kind} has no {captured.kind}", f"it has {' and '.join(sorted(_READERS[kind]))}"
        )
    return _READERS[kind][captured.kind]


def _custom_reader(config: CustomConfig, captured: RecordedAnswer, at: str) -> AnswerReader:
    found = config.records.get(captured.kind)
    if found is None:
        raise ConfigError(f"{at}.type", f"{captured.platform} has no {captured.kind}", "add it to its records")
    place = record_location(found)
    fields = compile_fields(captured.platform, captured.kind, place)
    return lambda reply, _: read_answer(place, fields, reply)
