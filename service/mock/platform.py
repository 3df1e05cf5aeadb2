"""Mock of one platform: its routes, its keys, and how it lists and writes records."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from service.mock.catalog import Catalog
from service.mock.http import Reply, Request
from service.mock.records import change_record, create_record
from service.mock.routes import ListRoute, PathSegments, Route

TOKEN = "sandbox-token"  # noqa: S105 - valid in the sandbox alone

TOKEN_VARIABLE, SECRET_VARIABLE = "PLATFORM_TOKEN", "WEBHOOK_SECRET"
TOKEN_REF, SECRET_REF = {"env": TOKEN_VARIABLE}, {"env": SECRET_VARIABLE}
"""References to the key of the mock and to the secret of a source, in the files of `waybill init`."""

URL_PLACE = "{url}"

RecordJson = dict[str, Any]
Query = Mapping[str, Sequence[str]]


def bearer_token(request: Request) -> str:
    """Read the token of the Authorization header, empty if there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else ""


class ExtraRoute(Struct, frozen=True):
    """A path that is neither a record nor a list. The handler returns None for a method that it does not take."""

    steps: PathSegments
    handle: Callable[[Request, Catalog], Reply | None]
    public: bool = False
    """Whether the path takes calls without a key."""


class StarterAccount(Struct, frozen=True):
    """Account of a mock in the files of `waybill init`.

    Attributes:
        fields: Fields beside `kind` and `base_url`. `{url}` stands for the URL of the mock.
        kinds: Kinds of record, the one of the first rule in front.
        verify: Verification of the platform's deliveries; None if it has no envelope of its own.
    """

    fields: Mapping[str, Any]
    kinds: Sequence[str]
    verify: Mapping[str, Any] | None

    def build(self, kind: str, url: str, base_path: str) -> dict[str, Any]:
        """Return the account in waybill.yaml. `url` is that of the mock."""
        fields = {
            name: value.replace(URL_PLACE, url) if isinstance(value, str) else value
            for name, value in self.fields.items()
        }
        return {"kind": kind, "base_url": url + base_path, **fields}


class MockPlatform(Struct, frozen=True, kw_only=True):
    """Mock of one platform.

    Attributes:
        starter: The account that `waybill init` writes.
        routes: Paths to one record.
        lists: Paths to a list.
        list_records: Answers a list, from request, query, records and the name of a record's id.
        base_path: Path that belongs to `base_url`, such as `/v1`.
        id_keys: Name of a record's id by kind, where it is not `id`.
        extra: All other paths.
        read_key: Reads the key of a request.
        key: The valid key.
        create: Answers a POST to a list.
        change: Answers any other write to a record.
    """

    starter: StarterAccount
    routes: tuple[Route, ...]
    lists: tuple[ListRoute, ...]
    list_records: Callable[[Request, Query, list[RecordJson], str], Reply]
    base_path: str = ""
    id_keys: Mapping[str, str] = {}
    extra: tuple[ExtraRoute, ...] = ()
    read_key: Callable[[Request], str] = bearer_token
    key: str = TOKEN
    create: Callable[[Request, Catalog, ListRoute], Reply] = create_record
    change: Callable[[Request, Catalog, Route, str], Reply] = change_record
