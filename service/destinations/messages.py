"""Messages: destinations that take one JSON message per request, with POST at one URL."""

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from service.destinations.destination import Probe
from service.destinations.http.config import HttpConfig, TargetConfig
from service.destinations.http.destination import HttpDestination
from service.destinations.http.request import OutgoingRequest, SendContext
from service.destinations.kind import DestinationDependencies
from service.errors import PermanentError
from service.http_client import HttpResponse


class MessageDestination:
    """Destination for messages of one service, such as Slack.

    Raises:
        ConfigError: A secret or a certificate cannot be read.
    """

    message_bytes_max: ClassVar[int]
    """Longest message that the service accepts, as JSON."""

    test_message: ClassVar[Mapping[str, Any]]
    """Message of `waybill destinations test`."""

    def __init__(self, name: str, config: TargetConfig, dependencies: DestinationDependencies) -> None:
        self.name = name
        self.config = config
        self._http = HttpDestination(name, as_http(config), dependencies)

    async def send(self, message: Mapping[str, Any], context: SendContext) -> HttpResponse:
        """Send a message within the limits of the destination.

        Returns:
            A successful response.

        Raises:
            Deferred: A limit is reached, or the circuit is open.
            TransientError: As `HttpDestination.send`.
            PermanentError: `message_too_large`; or as `HttpDestination.send`.
        """
        request = _request(message)
        size = len(request.body or b"")
        if size > self.message_bytes_max:
            reason = f"the message has {size} bytes, and {self.name} accepts {self.message_bytes_max}: shorten it"
            raise PermanentError("message_too_large", reason)
        return await self._http.send(request, context)

    async def probe(self, _method: str, _path: str, /) -> Probe:
        """Send the test message without limits and retries."""
        return await self._http.probe_request(_request(self.test_message))

    async def check(self) -> str:
        """As `HttpDestination.check`. No message is sent."""
        return await self._http.check()


def as_http(config: TargetConfig) -> HttpConfig:
    """Return the HTTP configuration with address and connection of a target."""
    return HttpConfig(**{name: getattr(config, name) for name in TargetConfig.__struct_fields__})


def _request(message: Mapping[str, Any]) -> OutgoingRequest:
    return OutgoingRequest(method="POST", body=msgspec.json.encode(message), content_type="application/json")
