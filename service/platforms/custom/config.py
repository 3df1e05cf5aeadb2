"""Configuration of an account on a custom platform: where its records are, and how calls are authorized."""

import re
from collections.abc import Iterator, Mapping
from typing import ClassVar

from msgspec import field

from service.config.auth import Auth
from service.config.operations import OPERATION_NAME, OperationConfig
from service.config.platforms import BaseUrl, PlatformConfig
from service.errors import ConfigError
from service.platforms.api.record_config import CustomRecordConfig, check_records, listed_kinds, mapped_fields
from service.records import KnownRecords

READ_OPERATIONS = frozenset({"record.get", "record.list"})
"""Names of the operations that every custom account has."""


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
        return listed_kinds(self.records)

    def expected_fields(self, kind: str) -> tuple[str, ...]:
        """Return the fields that have a pointer."""
        return mapped_fields(self.records[kind]) if kind in self.records else ()

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
        yield from check_records(f"{at}.records", self.records, records)
        for name, operation in self.operations.items():
            if not re.match(OPERATION_NAME, name) or name in READ_OPERATIONS:
                fix = "use two or more words of lower-case letters with a dot between, such as order.hold"
                yield ConfigError(f"{at}.operations.{name}", "is not a valid name of an operation", fix)
            yield from operation.check(f"{at}.operations.{name}")
