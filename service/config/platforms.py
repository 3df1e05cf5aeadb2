"""Configuration of an account on a platform: the base of the struct that each platform declares in its folder."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from service.bodies.pointers import Pointer
from service.config.decoding import did_you_mean
from service.config.leaves import leaves
from service.config.operations import OperationConfig
from service.config.record_maps import FieldPointer, FieldPointers
from service.errors import ConfigError
from service.events import EVENT_KIND
from service.records import OWN_FIELDS, KnownRecords
from service.secrets import SecretRef

BaseUrl = Annotated[
    str,
    Meta(
        pattern=r"^https?://[A-Za-z0-9._~\[\]:-]+(/[^\s?#]*)?\Z",
        description="an http or https URL without user, query or fragment, such as https://api.example.com/v1",
    ),
]
HeaderName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}\Z", description="an HTTP header name such as X-Api-Key")
]
Uid = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,200}\Z", description="the id as the platform shows it")]
Slug = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,100}\Z", description="the short name in the platform's URLs")]
LimitCount = Annotated[int, Meta(ge=1, le=100_000, description="a whole number of at least 1")]


Path = Annotated[
    str,
    Meta(
        pattern=r"^((GET|POST|PUT|PATCH|DELETE) )?/[^\s#]*\Z",
        description='a path below base_url, with a method in front where that differs: "PATCH /customers/{customer}"',
    ),
]
Paths = dict[str, Path]
"""Paths by operation, for those that no page of the platform prints; see `service.platforms.api.operations`."""
LINES = "lines"
CURRENCY = "currency"
"""Key of `map` that is not a field: the pointer to the currency of all amounts without one."""
FieldPlaces = Mapping[str, str]
"""The pointer that a connector reads, by field of our record; below `lines` relative to the line."""
RecordMaps = dict[str, FieldPointers]
"""The pointers of fields by kind of record, as `map` of a built-in platform gives them."""
DocumentedValues = Mapping[str, tuple[str, ...]]
"""The documented values of enumerations by path of a field; `[]` stands for an element of a list."""
Status = Annotated[int, Meta(ge=400, le=599, description="an HTTP status of 400 to 599")]


class GoneResponse(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Response that means that there is no such record: its status, and the value at a pointer in its body."""

    status: Annotated[int, Meta(ge=200, le=599, description="an HTTP status of 200 to 599")]
    at: Pointer
    value: str | int | bool


class ErrorsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Responses with a meaning of their own on this system: transient errors, or a record that is gone."""

    transient: tuple[Status, ...] = ()
    gone: tuple[Status | GoneResponse, ...] = ()


NO_ERRORS_CONFIG = ErrorsConfig()


class PlatformConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Configuration of one account on a platform. All workers share the two limits; None means no limit.

    `fetch_delay_seconds` is for a platform that sends the event before its API shows the change, and has no versions.
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"purchase_order", "customer"})
    """The kinds of record and hint that its connector knows."""
    hints: ClassVar[frozenset[str]] = frozenset()
    """The kinds that its connector resolves to records."""
    redelivery_hours: ClassVar[float | None] = None
    """Time in which the platform may send an event again; None if the platform does not document it."""
    listed: ClassVar[frozenset[str]] = frozenset()
    """The kinds of record that its API lists, so that they can be polled."""
    identical_bodies_default: ClassVar[Literal["same", "distinct"]] = "same"
    retries_on_429: ClassVar[bool] = False
    """Whether its deliveries come again after a 429; where that is not known, as where it is final, they get a 503."""
    has_envelope: ClassVar[bool] = True
    """Whether the platform's deliveries have an envelope of their own."""

    requests_in_flight_max: LimitCount | None = None
    requests_per_minute_max: LimitCount | None = None
    fetch_delay_seconds: Annotated[
        float, Meta(ge=0, le=600, description="seconds an event waits before its record is fetched, at most 600")
    ] = 0.0
    errors: ErrorsConfig = NO_ERRORS_CONFIG

    def known_kinds(self) -> frozenset[str]:
        """Return the kinds of record and hint that the account's connector knows."""
        return self.kinds

    def record_kinds(self) -> frozenset[str]:
        """Return the kinds of record that the account's connector fetches."""
        return self.known_kinds() - self.hints

    def listed_kinds(self) -> frozenset[str]:
        """Return the kinds of record that the account's connector can list, so that they can be polled."""
        return self.listed

    def documented_values(self, kind: str) -> DocumentedValues | None:  # noqa: ARG002 - an override has values
        """Return the documented values of enumerations; None if the values of the platform are not known."""
        return None

    def expected_fields(self, kind: str) -> tuple[str, ...]:  # noqa: ARG002 - an override has fields
        """Return the fields of our record that a response should contain, wholes before their parts."""
        return ()

    def declared_operations(self) -> Mapping[str, OperationConfig]:
        """Return the operations that waybill.yaml declares for the account, by name."""
        return {}

    def map_path(self, kind: str) -> str:
        """Return the path below the account where the pointers of a kind of record are corrected."""
        return f"map.{kind}"

    def unlisted_fix(self, account: str, kind: str) -> str:  # noqa: ARG002 - an override names the account
        """Suggest a fix for the poll of a kind that the account does not list."""
        return did_you_mean(kind, self.listed_kinds())

    def check(self, at: str, records: KnownRecords) -> Iterator[ConfigError]:  # noqa: ARG002 - an override uses them
        """Yield the mistakes that no single field shows; `at` is the account's path in waybill.yaml."""
        yield from ()


class BuiltInPlatformConfig(PlatformConfig, frozen=True, kw_only=True):
    """Configuration of an account on a built-in platform. `map` gives fields of a record other pointers."""

    places: ClassVar[Mapping[str, FieldPlaces]] = {}
    """The fields that the connector reads, by kind of record, each with its pointer. `map` may contain them."""
    combined: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    """Fields without a place of their own, by kind of record, each with the origin of its value; also for its parts."""
    enums: ClassVar[Mapping[str, DocumentedValues]] = {}
    """The documented values of enumerations, by kind of record."""
    wrapped: ClassVar[bool | None] = True
    """Whether a record is under `data` in a response; None if both forms are accepted."""

    map: RecordMaps = {}

    def documented_values(self, kind: str) -> DocumentedValues:
        """Return the documented values of enumerations, except of fields that `map` reads elsewhere."""
        mapped = self.map.get(kind, {})
        return {path: values for path, values in self.enums.get(kind, {}).items() if path not in mapped}

    def expected_fields(self, kind: str) -> tuple[str, ...]:
        """Return the fields that the platform documents."""
        return tuple(self.places[kind])

    def check(self, at: str, records: KnownRecords) -> Iterator[ConfigError]:  # noqa: ARG002 - its kinds are built in
        """Yield the mistakes in `map`; `at` is the account's path in waybill.yaml."""
        for kind, pointers in self.map.items():
            if kind not in self.places:
                yield ConfigError(f"{at}.map.{kind}", f"there is no kind {kind}", did_you_mean(kind, self.places))
                continue
            for field, pointer in sorted(pointers.items(), key=lambda item: item[0]):
                yield from self._check_field(kind, field, pointer, f"{at}.map.{kind}.{field}")

    def own_pointers(self, kind: str) -> FieldPointers:
        """Return the pointers of fields that the connector does not read."""
        own = {field: pointer for field, pointer in self.map.get(kind, {}).items() if field not in self.places[kind]}
        return own if own.keys() - {CURRENCY} else {}

    def _check_field(self, kind: str, field: str, pointer: str | FieldPointer, at: str) -> Iterator[ConfigError]:
        own = (*OWN_FIELDS[kind], CURRENCY) if OWN_FIELDS[kind] else ()
        if field in self.places[kind]:
            if isinstance(pointer, FieldPointer):
                reason = f"the connector converts the values of {field} itself"
                yield ConfigError(at, reason, "write the pointer alone, such as /status")
        elif field.partition(".")[0] not in own:
            yield self._unmapped(at, kind, field, own)

    def _unmapped(self, at: str, kind: str, field: str, own: Iterable[str]) -> ConfigError:
        """Build the error of a field that `map` may not contain."""
        origins = self.combined.get(kind, {})
        for whole in (field, field.rpartition(".")[0]):
            if whole in origins:
                reason = f"{field} has no single place on this platform: {origins[whole]}"
                return ConfigError(at, reason, "remove it, and use the value under raw. in rules")
        return ConfigError(at, "cannot be mapped on this platform", did_you_mean(field, [*self.places[kind], *own]))


class NoPlatformConfig(PlatformConfig, frozen=True, kw_only=True):
    """Substitute for the account of a source without a platform. No account of waybill.yaml has this kind."""

    kinds: ClassVar[frozenset[str]] = frozenset({EVENT_KIND})
    has_envelope: ClassVar[bool] = False

    def unlisted_fix(self, account: str, kind: str) -> str:  # noqa: ARG002 - nothing is listed
        """Suggest a platform for the poll of a source without one."""
        return "add platform: with the account to list the records of"


NO_PLATFORM = NoPlatformConfig()


def secrets(value: object, at: str) -> Iterator[tuple[str, SecretRef]]:
    """Yield every reference to a secret in a struct at `at`, with its path."""
    yield from ((path, leaf) for path, leaf in leaves(value, at) if isinstance(leaf, SecretRef))


def urls(value: object, at: str) -> Iterator[tuple[str, str]]:
    """Yield the path and the value of every URL below a struct at `at`: fields whose names end in `_url`."""
    if isinstance(value, Struct):
        for name in value.__struct_fields__:
            field = getattr(value, name)
            if name.endswith("_url") and field is not None:
                yield f"{at}.{name}", field
            yield from urls(field, f"{at}.{name}")
