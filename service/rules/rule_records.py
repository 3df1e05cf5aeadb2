"""Records as rules see them, written in rule tests and posted dry runs."""

from collections.abc import Mapping
from typing import Any, cast

from msgspec import Struct

from service.config.decoding import decode_config, did_you_mean
from service.errors import ConfigError
from service.records import Record, RecordTypes
from service.rules.fields import item_of, members


def record_type(kind: str, records: RecordTypes, at: str) -> type[Struct]:
    """Return the struct of a rule type. `at` is the path of the rule, for errors.

    Raises:
        ConfigError: there is no such record kind.
    """
    if kind not in records:
        fix = f"{did_you_mean(kind[:64], records)}; waybill.yaml declares others under records:"
        raise ConfigError(f"{at}.type", f"no record kind {kind[:64]!r}", fix)
    return records[kind]


def read_record(records: RecordTypes, kind: str, written: Mapping[str, Any], at: str) -> Record:
    """Parse the record of a rule test. Unknown names are rejected, since they would be silently ignored.

    Raises:
        ConfigError: the record has a mistake; the path of the error starts with `at`.
    """
    if kind not in records:
        raise ConfigError(at, f"no record kind {kind[:64]!r}", did_you_mean(kind[:64], records))
    _check_names(written, records[kind], at)
    return decode_config(written, records[kind], at)


def _check_names(written: object, structure: type[Struct], at: str) -> None:
    """Check that all names are fields of the struct, also in nested structs. Decoding checks the types."""
    for name, value in cast("dict[str, Any]", written if isinstance(written, Mapping) else {}).items():
        if name not in structure.__struct_encode_fields__:
            fix = did_you_mean(name, structure.__struct_encode_fields__)
            raise ConfigError(f"{at}.{name}", "is not a field of the record", fix)
        member = members(structure)[name]
        inner = item_of(member) or member.type
        if not (isinstance(inner, type) and issubclass(inner, Struct)):
            continue
        if isinstance(value, list):
            for index, item in enumerate(cast("list[Any]", value)):
                _check_names(item, inner, f"{at}.{name}[{index}]")
        else:
            _check_names(value, inner, f"{at}.{name}")
