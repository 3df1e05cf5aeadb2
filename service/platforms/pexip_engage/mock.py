"""Mock of Pexip Engage, and of the realm that issues its tokens."""

from base64 import urlsafe_b64encode
from urllib.parse import parse_qs

from service.mock.catalog import Catalog
from service.mock.http import Reply, Request, json_reply
from service.mock.platform import (
    SECRET_REF,
    TOKEN,
    TOKEN_REF,
    URL_PLACE,
    ExtraRoute,
    MockPlatform,
    Query,
    RecordJson,
    StarterAccount,
)
from service.mock.routes import list_route, path_steps, record_route

LIMIT_DEFAULT = 25
TOKEN_SECONDS = 300
ACCESS_TOKEN = urlsafe_b64encode(f"issued for {TOKEN}".encode()).decode()


def _list_records(_: Request, query: Query, records: list[RecordJson], __: str) -> Reply:
    offset, limit = int(query.get("offset", ["0"])[0]), int(query.get("limit", [str(LIMIT_DEFAULT)])[0])
    meta = {"offset": offset, "limit": limit, "totalCount": len(records)}
    return json_reply(200, {"data": records[offset : offset + limit], "meta": meta})


def _issue_token(request: Request, _: Catalog) -> Reply | None:
    """Issue a token as OpenID Connect realms do (RFC 6749 4.4 and 5.2)."""
    form = {name: values[0] for name, values in parse_qs(request.body.decode(errors="replace")).items()}
    if request.method != "POST":
        return None
    if form.get("grant_type") != "client_credentials":
        return json_reply(400, {"error": "unsupported_grant_type"})
    if not form.get("client_id") or form.get("client_secret") != TOKEN:
        return json_reply(401, {"error": "invalid_client", "error_description": "Invalid client credentials"})
    issued = {"access_token": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": TOKEN_SECONDS}
    return json_reply(200, issued | {"scope": form.get("scope", "")})


MOCK = MockPlatform(
    starter=StarterAccount(
        {
            "token_url": f"{URL_PLACE}/realms/acme/protocol/openid-connect/token",
            "enterprise": "acme",
            "client_id": TOKEN_REF,
            "client_secret": TOKEN_REF,
        },
        ("customer",),
        {"scheme": "path_token", "secrets": [SECRET_REF]},
    ),
    routes=(
        record_route("pexip_engage", "customer", "enterprises/*/customers/{id}", "PATCH", wrapped=True),
        record_route("pexip_engage", "appointment", "enterprises/*/appointments/{id}", wrapped=True),
        record_route("pexip_engage", "callback_request", "enterprises/*/callback-requests/{id}", wrapped=True),
    ),
    lists=(list_route("pexip_engage", "customer", "enterprises/*/customers"),),
    list_records=_list_records,
    extra=(
        ExtraRoute(path_steps("pexip_engage", "realms/*/protocol/openid-connect/token"), _issue_token, public=True),
    ),
    key=ACCESS_TOKEN,
)
