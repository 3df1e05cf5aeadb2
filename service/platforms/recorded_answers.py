"""Recorded answers of a platform in rule tests, read as the connector reads them. No network.

A built-in platform is named by its kind and needs no configuration, a custom platform by its account.
"""

import difflib
from collections.abc import Mapping
from typing import Any

import msgspec

from service.config.platforms import BuiltInPlatformConfig, PlatformConfig
from service.errors import ConfigError, PermanentError, TransientError
from service.platforms.api.configured_records import compile_fields, read_answer
from service.platforms.api.decoding import decode_body
from service.platforms.api.pointer_map import PointerMap
from service.platforms.api.responses import PlatformResponse
from service.platforms.built_in_config import ExtensibleConfig
from service.platforms.custom.config import CustomConfig
from service.platforms.kind import AnswerReader, RecordedAnswer
from service.platforms.registry import PLATFORMS, kind_of
from service.records import Record, RecordTypes


def read_recorded_answer(
    captured: RecordedAnswer, accounts: Mapping[str, PlatformConfig], records: RecordTypes, at: str
) -> tuple[Record, Any]:
    """Read a recorded answer.

    Args:
        captured: The recorded answer.
        accounts: The configured accounts.
        records: The types of records.
        at: The place of the answer in its file.

    Returns:
        The record, and the value that rules see as `raw`.

    Raises:
        ConfigError: No such platform, no such kind of record, or not an answer of this platform.
    """
    read = _reader(captured, accounts, records, at)
    try:
        plain = decode_body(msgspec.json.encode(captured.answer), 200)
        node, record, _ = read(PlatformResponse(200, plain, 0.0), captured)
    except (PermanentError, TransientError) as error:
        fix = "give the platform's answer whole, as its API gives it"
        raise ConfigError(f"{at}.raw", str(error), fix) from None
    return record, node


def _reader(
    captured: RecordedAnswer, accounts: Mapping[str, PlatformConfig], records: RecordTypes, at: str
) -> AnswerReader:
    name, config = captured.platform, accounts.get(captured.platform)
    if isinstance(config, CustomConfig) or (isinstance(config, ExtensibleConfig) and captured.kind in config.records):
        return _custom_reader(config, captured, records, at)
    known = [kind.name for kind in PLATFORMS.values() if kind.readers]
    kind = kind_of(config) if config is not None else PLATFORMS.get(name)
    if kind is None or not kind.readers:
        choices = [*known, *accounts]
        near = difflib.get_close_matches(name[:64], choices, 1)
        fix = f"did you mean {near[0]}?" if near else f"take one of {', '.join(choices)}, or an account of waybill.yaml"
        raise ConfigError(f"{at}.platform", f"no platform {name[:64]!r}", fix)
    if captured.kind not in kind.readers:
        fix = f"it has {' and '.join(sorted(kind.readers))}"
        raise ConfigError(f"{at}.type", f"{kind.name} has no {captured.kind}", fix)
    read = kind.readers[captured.kind]
    if not isinstance(config, BuiltInPlatformConfig):
        return read
    mapped = PointerMap(config, f"platforms.{name}").reader(captured.kind, lambda reply: read(reply, captured))
    return lambda reply, _: mapped(reply)


def _custom_reader(
    config: CustomConfig | ExtensibleConfig, captured: RecordedAnswer, records: RecordTypes, at: str
) -> AnswerReader:
    found = config.records.get(captured.kind)
    if found is None:
        raise ConfigError(f"{at}.type", f"{captured.platform} has no {captured.kind}", "add it to its records")
    fields = compile_fields(captured.platform, captured.kind, found, records)
    return lambda reply, _: read_answer(found, fields, reply)
