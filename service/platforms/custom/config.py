"""Configuration of an account on a custom platform: where its records are, and how calls are authorized."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from msgspec import Meta, Struct, field

from service.bodies.pointers import Pointer
from service.config.auth import Auth
from service.config.decoding import did_you_mean
from service.config.operations import OPERATION_NAME, OperationConfig
from service.config.platforms import BaseUrl, PlatformConfig
from service.config.record_maps import FieldPointers
from service.errors import ConfigError
from service.platforms.api.field_map import FieldMap
from service.records import KnownRecords

READ_OPERATIONS = frozenset({"record.get", "record.list"})
"""Names of the operations that every custom account has."""


class CustomListConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """List of a kind of record, for polls. `path` may contain `{page}`, counted from 1, or `{cursor}`.

    `at` points to the list in the response; the record's `map` reads its items. `next` selects the next page: `page`
    counts until a page is empty, `link` follows the Link header (RFC 8288), a pointer leads to the next page's URL or
    cursor. `newest_first` promises that the latest change comes first, so that a poll may stop early.
    """

    path: Annotated[str, Meta(pattern=r"^/[^\s#]*\Z", description='a path such as "/orders?page={page}"')]
    at: Pointer = ""
    next: Annotated[
        str, Meta(pattern=r"^(none|page|link|/.*)\Z", description="page, link, none, or a pointer such as /meta/next")
    ] = "none"
    newest_first: bool = False


class CustomRecordConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Path of a kind of record, and the pointers to its fields.

    `path` is appended to base_url; `{id}` is the record's id. `at` points to the record in the response. `map` gives
    the pointer of each field, relative to the record; `service.platforms.api.field_map` lists the keys.
    """

    path: Annotated[
        str, Meta(pattern=r"^/[^\s#]*\{id\}[^\s#]*\Z", description='a path with {id} in it, such as "/orders/{id}"')
    ]
    at: Pointer = ""
    map: FieldPointers = {}
    list: CustomListConfig | None = None


class CustomConfig(PlatformConfig, frozen=True, kw_only=True, tag="custom"):
    """Custom platform: any other system that answers JSON over HTTP."""

    has_envelope: ClassVar[bool] = False

    base_url: BaseUrl
    auth: Auth
    records: dict[str, CustomRecordConfig]
    operations: dict[str, OperationConfig] = field(default_factory=dict[str, OperationConfig])

    def known_kinds(self) -> frozenset[str]:
        """Return the configured kinds of record."""
        return frozenset(self.records)

    def listed_kinds(self) -> frozenset[str]:
        """Return the kinds of record that have a list."""
        return frozenset(kind for kind, record in self.records.items() if record.list is not None)

    def expected_fields(self, kind: str) -> tuple[str, ...]:
        """Return the fields that have a pointer; `currency` is not a field."""
        mapped = self.records[kind].map if kind in self.records else {}
        return tuple(sorted(mapped.keys() - {"currency"}))

    def declared_operations(self) -> Mapping[str, OperationConfig]:
        """Return the configured operations."""
        return self.operations

    def map_path(self, kind: str) -> str:
        """Return the path of the pointers of a kind of record."""
        return f"records.{kind}.map"

    def unlisted_fix(self, account: str, kind: str) -> str:
        """Suggest a fix for the poll of a kind without a list."""
        if kind in self.records:
            return f"add list: to platforms.{account}.records.{kind}"
        return super().unlisted_fix(account, kind)

    def check(self, at: str, records: KnownRecords) -> Iterator[ConfigError]:
        """Yield the mistakes in the records; `at` is the account's path in waybill.yaml."""
        if not self.records:
            yield ConfigError(f"{at}.records", "is empty", f"add at least one of {', '.join(sorted(records))}")
        for kind, record in self.records.items():
            if kind not in records:
                fix = f"declare it under records: or use another kind; {did_you_mean(kind, records)}"
                yield ConfigError(f"{at}.records.{kind}", f"there is no kind {kind}", fix)
            elif (known := records[kind]) is not None:
                yield from _check_map(known, record.map, f"{at}.records.{kind}.map")
            if record.list is not None:
                yield from _check_list(f"{at}.records.{kind}.list", record.list)
        for name, operation in self.operations.items():
            if not re.match(OPERATION_NAME, name) or name in READ_OPERATIONS:
                fix = "use two or more words of lower-case letters with a dot between, such as order.hold"
                yield ConfigError(f"{at}.operations.{name}", "is not a valid name of an operation", fix)
            yield from operation.check(f"{at}.operations.{name}")


def _check_map(record: type[Struct], pointers: FieldPointers, at: str) -> Iterator[ConfigError]:
    try:
        FieldMap(record, pointers, at)
    except ConfigError as error:
        yield from error.mistakes


def _check_list(at: str, config: CustomListConfig) -> Iterator[ConfigError]:
    """Yield the mistakes through which only the first page of a list would be read."""
    if config.next == "page" and "{page}" not in config.path:
        fix = 'add {page}, as in "/orders?page={page}"'
        yield ConfigError(f"{at}.path", "has no {page}, so every request would return the first page", fix)
    if config.next == "none" and "{page}" in config.path:
        fix = "write next: page, or another way to the next page"
        yield ConfigError(f"{at}.next", "is none, so only the first page would be read", fix)
    if "{cursor}" in config.path and not config.next.startswith("/"):
        fix = "write a JSON pointer to the value of {cursor}, such as /meta/next"
        yield ConfigError(f"{at}.next", "is not a pointer to the cursor", fix)
