"""The front door of each platform: which paths it has, what it asks for to let a call in, and how it says no."""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import parse_qs

from msgspec import Struct

from service.sandbox.asgi import Reply, Request, json_reply, plain_reply
from service.sandbox.catalog import Catalog

TOKEN = "sandbox-token"  # noqa: S105 - opens nothing but the sandbox
TOKEN_SECONDS = 300

ANY = "*"
ID = "{id}"


class Way(Struct, frozen=True):
    """A path to a kind of record; `wrapped` puts the record under `data`."""

    platform: str
    kind: str
    steps: tuple[str, ...]
    wrapped: bool = False

    def leads(self, segments: tuple[str, ...]) -> str | None:
        """Give the id if the path is this one."""
        if len(segments) != len(self.steps):
            return None
        for segment, step in zip(segments, self.steps, strict=True):
            if step not in {segment, ANY, ID}:
                return None
        return segments[self.steps.index(ID)]


def _way(platform: str, kind: str, path: str, *, wrapped: bool = False) -> Way:
    return Way(platform, kind, (platform, *path.split("/")), wrapped)


WAYS = (
    _way("pack_cloud", "purchase_order", "v1/organizations/*/purchase-orders/{id}"),
    _way("pack_cloud", "customer", "v1/organizations/*/customers/{id}"),
    _way("pack_cloud", "order", "v1/organizations/*/orders/{id}"),
    _way("pexip_engage", "customer", "enterprises/*/customers/{id}", wrapped=True),
    _way("pexip_engage", "appointment", "enterprises/*/appointments/{id}", wrapped=True),
    _way("pexip_engage", "callback_request", "enterprises/*/callback-requests/{id}", wrapped=True),
    _way("open_food_network", "customer", "api/v1/customers/{id}", wrapped=True),
    _way("open_food_network", "order", "api/v0/orders/{id}"),
    _way("flow_retail", "customer", "v2/tenants/*/customers/{id}"),
    _way("flow_retail", "purchase_order", "v2/tenants/*/stores/*/purchase-orders/{id}"),
    _way("flow_retail", "tenant", "v2/tenants/{id}"),
)

TOKEN_STEPS = ("pexip_engage", "realms", ANY, "protocol", "openid-connect", "token")

BASE_PATHS: Mapping[str, str] = {
    "pack_cloud": "/pack_cloud/v1",
    "pexip_engage": "/pexip_engage",
    "open_food_network": "/open_food_network",
    "flow_retail": "/flow_retail/v2",
}
"""What follows the sandbox's URL in the `base_url` of each platform."""


def answer(request: Request, catalog: Catalog) -> Reply:
    """Answer a call to one of the platforms."""
    if _same(request.segments, TOKEN_STEPS):
        return _token(request)
    for way in WAYS:
        record_id = way.leads(request.segments)
        if record_id is not None:
            return _record(request, catalog, way, record_id)
    return plain_reply(HTTPStatus.NOT_FOUND)


def _record(request: Request, catalog: Catalog, way: Way, record_id: str) -> Reply:
    key = _key(request, way.platform)
    if key != _issued(way.platform):
        return Reply(401, catalog.error(way.platform, 401, key))
    if request.method != "GET":
        return plain_reply(HTTPStatus.METHOD_NOT_ALLOWED)
    record = catalog.get(way.platform, way.kind, record_id)
    if record is None:
        return Reply(404, catalog.error(way.platform, 404))
    return Reply(200, b'{"data":%b}' % record if way.wrapped else record)


def _key(request: Request, platform: str) -> str:
    if platform == "open_food_network":
        return request.headers.get("x-api-token", "")
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key if scheme.lower() == "bearer" else ""


def _issued(platform: str) -> str:
    """What opens a platform: Pexip Engage takes tokens from its own endpoint only."""
    return _access_token() if platform == "pexip_engage" else TOKEN


def _access_token() -> str:
    return urlsafe_b64encode(f"issued for {TOKEN}".encode()).decode()


def _token(request: Request) -> Reply:
    """Issue a token as OpenID Connect realms do (RFC 6749 4.4 and 5.2)."""
    form = {name: values[0] for name, values in parse_qs(request.body.decode(errors="replace")).items()}
    if request.method != "POST":
        return plain_reply(HTTPStatus.METHOD_NOT_ALLOWED)
    if form.get("grant_type") != "client_credentials":
        return json_reply(400, {"error": "unsupported_grant_type"})
    if not form.get("client_id") or form.get("client_secret") != TOKEN:
        return json_reply(401, {"error": "invalid_client", "error_description": "Invalid client credentials"})
    issued = {"access_token": _access_token(), "token_type": "Bearer", "expires_in": TOKEN_SECONDS}
    return json_reply(200, issued | {"scope": form.get("scope", "")})


def _same(segments: tuple[str, ...], steps: tuple[str, ...]) -> bool:
    return len(segments) == len(steps) and all(
        step in {segment, ANY} for segment, step in zip(segments, steps, strict=True)
    )
