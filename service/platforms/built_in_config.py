"""Configuration of an account on a built-in platform, with the records that its connector does not know."""

from collections.abc import Iterator

from service.config.platforms import BuiltInPlatformConfig
from service.errors import ConfigError
from service.platforms.api.record_config import CustomRecordConfig, check_records, listed_kinds, mapped_fields
from service.records import KnownRecords


class ExtensibleConfig(BuiltInPlatformConfig, frozen=True, kw_only=True):
    """Configuration of an account on a built-in platform. `records` adds declared kinds that its API has."""

    records: dict[str, CustomRecordConfig] = {}  # noqa: RUF012 - msgspec copies it

    def known_kinds(self) -> frozenset[str]:
        """Return the kinds of record and hint of the connector, and those of `records`."""
        return self.kinds | self.records.keys()

    def listed_kinds(self) -> frozenset[str]:
        """Return the kinds of record that can be polled."""
        return self.listed | listed_kinds(self.records)

    def expected_fields(self, kind: str) -> tuple[str, ...]:
        """Return the fields that the platform documents, or that have a pointer."""
        return mapped_fields(self.records[kind]) if kind in self.records else super().expected_fields(kind)

    def map_path(self, kind: str) -> str:
        """Return the path of the pointers of a kind of record."""
        return f"records.{kind}.map" if kind in self.records else super().map_path(kind)

    def check(self, at: str, records: KnownRecords) -> Iterator[ConfigError]:
        """Yield the mistakes in `map` and `records`; `at` is the account's path in waybill.yaml."""
        yield from super().check(at, records)
        for kind in self.kinds & self.records.keys():
            fix = f"remove it; {at}.map gives its fields other pointers"
            yield ConfigError(f"{at}.records.{kind}", "is read by the connector itself", fix)
        yield from check_records(f"{at}.records", self.records, records)
