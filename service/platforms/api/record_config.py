"""Records that waybill.yaml describes for an account: their paths, the pointers to their fields, and their lists."""

from collections.abc import Iterator, Mapping
from typing import Annotated

from msgspec import Meta, Struct

from service.bodies.pointers import Pointer
from service.config.decoding import did_you_mean
from service.config.record_maps import FieldPointers
from service.errors import ConfigError
from service.platforms.api.field_map import FieldMap
from service.records import KnownRecords


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


Records = Mapping[str, CustomRecordConfig]


def listed_kinds(configs: Records) -> frozenset[str]:
    """Return the kinds of record that have a list."""
    return frozenset(kind for kind, record in configs.items() if record.list is not None)


def mapped_fields(config: CustomRecordConfig) -> tuple[str, ...]:
    """Return the fields that have a pointer; `currency` is not a field."""
    return tuple(sorted(config.map.keys() - {"currency"}))


def check_records(at: str, configs: Records, known: KnownRecords) -> Iterator[ConfigError]:
    """Yield the mistakes in the records of an account; `at` is their path in waybill.yaml."""
    for kind, record in configs.items():
        if kind not in known:
            fix = f"declare it under records: or use another kind; {did_you_mean(kind, known)}"
            yield ConfigError(f"{at}.{kind}", f"there is no kind {kind}", fix)
        elif (struct := known[kind]) is not None:
            yield from _check_map(struct, record.map, f"{at}.{kind}.map")
        if record.list is not None:
            yield from _check_list(f"{at}.{kind}.list", record.list)


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
