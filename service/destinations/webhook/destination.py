"""Webhook destination: a subscriber that verifies signatures of Standard Webhooks."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import msgspec
from msgspec import structs

from service.config.auth import Auth, NoAuth
from service.destinations.destination import Probe
from service.destinations.http.config import TargetConfig
from service.destinations.http.destination import HttpDestination
from service.destinations.http.request import OutgoingRequest, SendContext
from service.destinations.http.signing import StandardWebhooksSignature
from service.destinations.kind import DestinationDependencies
from service.destinations.messages import as_http
from service.errors import ConfigError
from service.http_client import HttpResponse
from service.signatures.scheme import Secrets


class WebhookConfig(TargetConfig, frozen=True, kw_only=True, tag="webhook"):
    """Webhook destination: a subscriber at `url`. Every secret of `secrets` signs: v1 for `whsec_…`, v1a for `whsk_…`.

    `auth` are credentials in addition to the signature.
    """

    secrets: Secrets
    auth: Auth = NoAuth()

    @property
    def signature(self) -> StandardWebhooksSignature:
        """Signature of every request."""
        return StandardWebhooksSignature(secrets=self.secrets)

    def check(self, at: str, environ: Mapping[str, str]) -> Iterator[ConfigError]:
        """Yield the mistakes; `at` is the destination's path in waybill.yaml."""
        yield from super().check(at, environ)
        yield from self.signature.check(at, environ)


class WebhookDestination:
    """One subscriber.

    Raises:
        ConfigError: A secret or a certificate cannot be read.
    """

    def __init__(self, name: str, config: WebhookConfig, dependencies: DestinationDependencies) -> None:
        self.name = name
        self.config = config
        http = structs.replace(as_http(config), auth=config.auth, signature=config.signature)
        self._http = HttpDestination(name, http, dependencies)
        self._clock = dependencies.clock

    async def send(
        self, body: bytes, headers: Mapping[str, str], content_type: str, context: SendContext
    ) -> HttpResponse:
        """Send a signed request within the limits of the destination.

        Returns:
            A successful response.

        Raises:
            Deferred: A limit is reached, or the circuit is open.
            TransientError: As `HttpDestination.send`.
            PermanentError: As `HttpDestination.send`.
        """
        request = OutgoingRequest(method="POST", headers=headers, body=body, content_type=content_type)
        return await self._http.send(request, context)

    async def probe(self, _method: str, _path: str, /) -> Probe:
        """Send an event of the type `waybill.test` without limits and retries."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        body = msgspec.json.encode({"type": "waybill.test", "timestamp": now, "data": {}})
        return await self._http.probe_request(
            OutgoingRequest(method="POST", body=body, content_type="application/json")
        )

    async def check(self) -> str:
        """As `HttpDestination.check`. No event is sent."""
        return await self._http.check()
