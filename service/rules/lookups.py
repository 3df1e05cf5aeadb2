"""Looked-up records of one event, as the readers of `lookup_readers` get them. Pure.

A reader raises LookupPending if its record is not fetched yet. The caller of the evaluation fetches it and evaluates
again. So a record is fetched only if the result of a rule depends on it.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct

from service.events import RecordRef
from service.plurals import count_noun
from service.records import Record

MISSING = "missing"
"""`error_kind` of a record that does not exist."""
TOO_MANY = "lookup_too_many"
"""`error_kind` of a record beyond LOOKUP_RECORDS_MAX, for which no call is made."""
DIGEST_DIGITS = 32
"""Stored hex digits of the digest of a record."""
NO_RECORDS: Mapping[str, "LookedUpRecord"] = MappingProxyType({})


class LookupRequest(Struct, frozen=True):
    """A record to look up. `retries` says that a failed look-up is retried."""

    ref: RecordRef
    retries: bool


class LookupSummary(Struct, frozen=True, omit_defaults=True):
    """A look-up in the history, a dry run and an explanation. Without `error_kind` the record was found.

    `record` is the lane of the record, or the number of records that were not looked up (`lookup_too_many`).
    """

    record: str
    duration_ms: float
    digest: str = ""
    version: str | None = None
    error_kind: str = ""
    error: str = ""


class LookedUpRecord(Struct, frozen=True, kw_only=True):
    """Result of a look-up: the record, or the reason of its absence.

    `is_final` says that the look-up is not retried. `reason` contains no values; `error` may contain text of the
    platform. `version` is as in `FetchedRecord`; `digest` is that of the bytes, or of the canonical state.
    """

    ref: RecordRef
    record: Record | None = None
    is_final: bool = True
    error_kind: str = ""
    reason: str = ""
    error: str = ""
    version: str | None = None
    digest: str = ""
    duration_ms: float = 0.0

    def summarize(self) -> LookupSummary:
        """Return the look-up without the record."""
        digest = self.digest[:DIGEST_DIGITS]
        error = self.error or self.reason
        return LookupSummary(self.ref.lane, self.duration_ms, digest, self.version, self.error_kind, error)


class LookupPending(Exception):
    """The result of a rule depends on records that are not looked up yet."""

    def __init__(self, requests: Sequence[LookupRequest]) -> None:
        super().__init__("records are not looked up yet")
        self.requests = requests


class LookupUnavailable(Exception):
    """There is no looked-up record, so that a comparison is unknown. The message contains no values."""


class LookupFailed(Exception):
    """All retries of a look-up failed, so that the rule cannot be evaluated. The message contains no values."""


class Lookups:
    """The looked-up records of one event, by lane.

    With `is_complete` no further record is looked up. With `is_lenient` the fields of an absent record are absent.
    """

    def __init__(
        self, found: Mapping[str, LookedUpRecord] = NO_RECORDS, *, is_complete: bool = False, is_lenient: bool = False
    ) -> None:
        self.found = found
        self.is_complete = is_complete
        self.is_lenient = is_lenient

    def lenient(self) -> "Lookups":
        """Return the same records, without a reason for absent ones."""
        return Lookups(self.found, is_complete=self.is_complete, is_lenient=True)

    def get(self, name: str, request: LookupRequest) -> Record:
        """Return the record of the look-up `name`.

        Raises:
            LookupPending: it is not looked up yet, or not retried yet.
            LookupUnavailable: there is none.
            LookupFailed: all retries failed.
        """
        known = self.found.get(request.ref.lane)
        if not self.is_complete and (known is None or (request.retries and not known.is_final)):
            raise LookupPending([request])
        if known is None:
            raise LookupUnavailable(f"{name} was not looked up")
        if known.record is not None:
            return known.record
        text = f"{name}: {known.reason}"
        raise LookupFailed(text) if request.retries and known.error_kind != MISSING else LookupUnavailable(text)

    def made(self) -> list[LookedUpRecord]:
        """Return the results without those beyond LOOKUP_RECORDS_MAX."""
        return [each for each in self.found.values() if each.error_kind != TOO_MANY]

    def summarize(self) -> tuple[LookupSummary, ...]:
        """Return all look-ups without the records, and one entry for the records beyond LOOKUP_RECORDS_MAX."""
        made = [each.summarize() for each in self.made()]
        if further := [each for each in self.found.values() if each.error_kind == TOO_MANY]:
            name = count_noun(len(further), "further record")
            made.append(LookupSummary(name, 0.0, error_kind=TOO_MANY, error=further[0].reason))
        return tuple(made)


NO_LOOKUPS = Lookups(is_complete=True)
