"""OAuth2 tokens: one at a time, renewed before they end and when they are refused."""

import asyncio
from pathlib import Path

import pytest
from msgspec import structs

from service.errors import PermanentError, TransientError
from service.events import RecordRef
from service.http_client import HttpClient
from service.platforms import CallContext
from service.platforms.api.credentials import ClientCredentials, StaticHeaders, basic_auth
from service.platforms.api.token_cache import NoTokenCache
from service.platforms.kind import ConnectorDependencies
from service.platforms.pexip_engage.config import PexipEngageConfig
from service.platforms.pexip_engage.connector import PexipEngage
from service.sandbox.faults import Fault
from service.sandbox.server import SandboxHandle
from service.secrets import SecretRef
from tests.platform_accounts import pexip_token_url

REALM = "/pexip_engage/realms"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def credentials(box: SandboxHandle, outbound: HttpClient, clock: Clock) -> ClientCredentials:
    return ClientCredentials(
        "acct", outbound, token_url=pexip_token_url(box), read_secrets=lambda: ("c", box.token), clock=clock
    )


def token(name: str, expires_in: object = None) -> str:
    ends = "" if expires_in is None else f', "expires_in": {expires_in}'
    return f'{{"access_token": "{name}"{ends}}}'


def issue(box: SandboxHandle, *names: str, expires_in: object = 300) -> None:
    for name in names:
        box.sandbox.faults.add(Fault(match=REALM, status=200, body=token(name, expires_in)))


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_rejected_client_is_a_config_error(
    box: SandboxHandle, credentials: ClientCredentials, status: int
) -> None:
    box.sandbox.faults.add(Fault(status=status, body='{"error": "invalid_client"}'))
    with pytest.raises(PermanentError) as raised:
        await credentials.headers()
    assert raised.value.kind == "config_unauthorized"
    assert box.token not in str(raised.value)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(status=503, retry_after=3), "platform_unavailable"),
        (Fault(status=429), "platform_rate_limited"),
        (Fault(reset=True), "reset"),
    ],
)
async def test_an_unavailable_token_server_is_transient(
    box: SandboxHandle, credentials: ClientCredentials, fault: Fault, kind: str
) -> None:
    box.sandbox.faults.add(fault)
    with pytest.raises(TransientError) as raised:
        await credentials.headers()
    assert raised.value.kind == kind
    assert await credentials.headers()


async def test_a_slow_token_server_is_transient(
    box: SandboxHandle, credentials: ClientCredentials, outbound: HttpClient
) -> None:
    box.sandbox.faults.add(Fault(delay_ms=60_000))
    patient = outbound.settings
    outbound.settings = structs.replace(patient, fetch_timeout_seconds=0.2)
    with pytest.raises(TransientError) as raised:
        await credentials.headers()
    assert raised.value.kind == "timeout"
    outbound.settings = patient
    assert await credentials.headers()


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(status=200, body='{"error": "invalid_request"}'), "platform_rejected"),
        (Fault(status=200, body='{"access_token": ""}'), "platform_wrong_envelope"),
        (Fault(status=200, body='{"access_token": "a\\r\\nX-Other: b"}'), "platform_wrong_envelope"),
        (Fault(status=200, body='{"access_token": "t\\u00f6ken"}'), "platform_wrong_envelope"),
        (Fault(status=404, body="{}"), "config_wrong_address"),
        (Fault(status=404, body="<html>"), "config_wrong_address"),
        (Fault(status=301, body=""), "config_redirected"),
    ],
)
async def test_a_token_response_without_a_token_is_permanent(
    box: SandboxHandle, credentials: ClientCredentials, fault: Fault, kind: str
) -> None:
    box.sandbox.faults.add(fault)
    with pytest.raises(PermanentError) as raised:
        await credentials.headers()
    assert raised.value.kind == kind


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(status=200, body="[]"), "platform_wrong_envelope"),
        (Fault(status=200, body='{"access_token": null}'), "platform_wrong_envelope"),
        (Fault(status=200, body='{"error": "temporarily_unavailable"}'), "platform_wrong_envelope"),
        (Fault(status=200, body='{"error": "slow_down"}'), "platform_rate_limited"),
        (Fault(status=200, body='{"error": "invalid_client"}'), "config_unauthorized"),
        (Fault(status=302, body=""), "config_redirected"),
    ],
)
async def test_a_token_server_that_is_not_ready_is_asked_again(
    box: SandboxHandle, credentials: ClientCredentials, fault: Fault, kind: str
) -> None:
    box.sandbox.faults.add(fault)
    with pytest.raises(TransientError) as raised:
        await credentials.headers()
    assert raised.value.kind == kind
    assert await credentials.headers()


class RecordingTokenCache(NoTokenCache):
    """Token cache that records the lifetime of each token, in seconds."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def put(self, name: str, token: str, seconds: float) -> None:  # noqa: ARG002 - the base class's signature
        self.seconds.append(seconds)


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [('"NaN"', 30.0), ('"Infinity"', 30.0), ("1e300", 86_370.0), ("-5", -2.5), ("0", 0.0), ('"300"', 270.0)],
)
async def test_the_lifetime_of_a_cached_token_is_bounded(
    box: SandboxHandle, outbound: HttpClient, expires_in: str, seconds: float
) -> None:
    cache = RecordingTokenCache()
    credentials = ClientCredentials(
        "acct", outbound, token_url=pexip_token_url(box), read_secrets=lambda: ("c", box.token), token_cache=cache
    )
    issue(box, "first", expires_in=expires_in)
    await credentials.headers()
    assert cache.seconds == [seconds]


async def test_concurrent_calls_share_one_token(box: SandboxHandle, credentials: ClientCredentials) -> None:
    issue(box, "first", "second")
    found = await asyncio.gather(*(credentials.headers() for _ in range(50)))
    assert {headers["Authorization"] for headers in found} == {"Bearer first"}
    assert len(box.sandbox.faults.waiting) == 1


async def test_a_token_is_renewed_before_it_expires(
    box: SandboxHandle, credentials: ClientCredentials, clock: Clock
) -> None:
    issue(box, "first", "second")
    await credentials.headers()
    clock.now = 269.9
    assert await credentials.headers() == {"Authorization": "Bearer first"}
    clock.now = 270.0
    assert await credentials.headers() == {"Authorization": "Bearer second"}


@pytest.mark.parametrize(("expires_in", "stale_at"), [(10, 5), (None, 30), ('"300"', 270), (300.5, 270.5)])
async def test_a_token_of_any_lifetime_is_used_and_renewed(
    box: SandboxHandle, credentials: ClientCredentials, clock: Clock, expires_in: object, stale_at: float
) -> None:
    issue(box, "first", "second", expires_in=expires_in)
    await credentials.headers()
    clock.now = stale_at - 0.1
    assert await credentials.headers() == {"Authorization": "Bearer first"}
    clock.now = stale_at
    assert await credentials.headers() == {"Authorization": "Bearer second"}


async def test_a_rejected_token_is_dropped_once_for_many_calls(
    box: SandboxHandle, credentials: ClientCredentials
) -> None:
    issue(box, "first", "second", "third")
    old = await credentials.headers()
    assert await credentials.refreshable(old, 401)
    assert await credentials.headers() == {"Authorization": "Bearer second"}
    assert await credentials.refreshable(old, 401)
    assert await credentials.headers() == {"Authorization": "Bearer second"}


async def test_a_403_renews_a_token_only_with_new_secrets(box: SandboxHandle, outbound: HttpClient) -> None:
    secrets = ["old"]
    credentials = ClientCredentials(
        "acct", outbound, token_url=pexip_token_url(box), read_secrets=lambda: ("c", secrets[0])
    )
    issue(box, "first", "second")
    old = await credentials.headers()
    assert not await credentials.refreshable(old, 403)
    assert await credentials.headers() == old
    secrets[0] = "new"
    assert await credentials.refreshable(old, 403)
    assert await credentials.headers() == {"Authorization": "Bearer second"}


async def test_secrets_are_read_again_after_the_token_server_rejected_them(
    box: SandboxHandle, outbound: HttpClient, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_text("old")
    reference = SecretRef(file=str(file))
    credentials = ClientCredentials(
        "acct", outbound, token_url=pexip_token_url(box), read_secrets=lambda: ("c", reference.resolve({}))
    )
    with pytest.raises(PermanentError):
        await credentials.headers()
    file.unlink()  # a file that is being replaced leaves the old secret
    with pytest.raises(PermanentError):
        await credentials.headers()
    file.write_text(box.token)
    assert (await credentials.headers())["Authorization"].startswith("Bearer ")


@pytest.mark.parametrize("status", [401, 403])
async def test_headers_change_with_the_file_of_their_secret(tmp_path: Path, status: int) -> None:
    file = tmp_path / "token"
    file.write_text("old")
    reference = SecretRef(file=str(file))
    credentials = StaticHeaders(lambda: {"X-Key": reference.resolve({})})
    old = await credentials.headers()
    assert not await credentials.refreshable(old, status)
    file.unlink()
    assert not await credentials.refreshable(old, status)
    file.write_text("new")
    assert await credentials.refreshable(old, status)
    assert await credentials.headers() == {"X-Key": "new"}
    assert await credentials.refreshable(old, status)  # another call has read it already


@pytest.mark.parametrize(("issued", "outcome"), [(["revoked"], "fetched"), (["revoked", "revoked too"], "refused")])
async def test_a_fetch_with_a_revoked_token_is_repeated_once_with_a_new_one(
    box: SandboxHandle, outbound: HttpClient, issued: list[str], outcome: str
) -> None:
    config = PexipEngageConfig(
        enterprise="acme",
        client_id=SecretRef(env="TOKEN"),
        client_secret=SecretRef(env="TOKEN"),
        base_url=box.base_url("pexip_engage"),
        token_url=pexip_token_url(box),
    )
    platform = PexipEngage("acct", config, ConnectorDependencies(outbound, {"TOKEN": box.token}))
    issue(box, *issued)
    call = platform.fetch(RecordRef("acct", "customer", "1"), CallContext("e"))
    if outcome == "fetched":
        assert (await call).record is not None
        return
    with pytest.raises(PermanentError) as raised:
        await call
    assert raised.value.kind == "config_unauthorized"


async def test_the_form_is_that_of_the_client_credentials_grant(box: SandboxHandle, outbound: HttpClient) -> None:
    url = f"{box.url}/_sandbox/sink/token"
    asked = ClientCredentials(
        "acct", outbound, token_url=url, read_secrets=lambda: ("c&d", "s=s"), scope="a:readOnly b:readOnly"
    )
    with pytest.raises(TransientError):
        await asked.headers()
    (request,) = box.sandbox.sink.requests
    assert request.method == "POST"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.body == (
        "grant_type=client_credentials&client_id=c%26d&client_secret=s%3Ds&scope=a%3AreadOnly+b%3AreadOnly"
    )


def test_basic_is_user_and_password_in_base64() -> None:
    assert basic_auth("till", "pässword") == {"Authorization": "Basic dGlsbDpww6Rzc3dvcmQ="}
