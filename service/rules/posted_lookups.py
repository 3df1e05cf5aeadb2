"""Looked-up records of a rule test or a posted dry run, as rules see them."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from service.events import RecordRef
from service.records import RecordTypes
from service.rules.lookups import LookedUpRecord, Lookups
from service.rules.rule_records import read_record
from service.rules.syntax import RuleType


class PostedLookup(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A record that a look-up returns. Without `platform` it is of the account of the event."""

    kind: RuleType
    record: dict[str, Any]
    platform: str | None = None


def read_lookups(posted: Sequence[PostedLookup], account: str, records: RecordTypes, at: str) -> Lookups:
    """Return the look-ups of an event of `account`. Other records are unavailable. `at` is their path, for errors.

    Raises:
        ConfigError: a record has a mistake.
    """
    found: dict[str, LookedUpRecord] = {}
    for index, each in enumerate(posted):
        record = read_record(records, each.kind, each.record, f"{at}[{index}].record")
        ref = RecordRef(each.platform or account, each.kind, record.id)
        found[ref.lane] = LookedUpRecord(ref=ref, record=record)
    return Lookups(found, is_complete=True)
