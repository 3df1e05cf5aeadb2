"""Test deliveries: one signed delivery over HTTP to the webhook port of this process."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import msgspec
from msgspec import Struct, structs

from service.config import Config
from service.errors import Rejection, TransientError
from service.events import new_event_id
from service.http_client import HttpClient
from service.platforms.kind import SampleRequest
from service.sending.example_event import example_event_of
from service.sending.sample_deliveries import SampleDelivery, render
from service.sending.sender import Sender, first_secret, post_delivery

TEST_YEAR = 2000
"""Year of the event in a test delivery. No record is older, so that its current state is evaluated at once."""
USER_AGENT = "waybill-test"
"""User agent of test deliveries, by which their events are recognized."""
_ANY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not bound
_LOOPBACK = "127.0.0.1"


class TestDelivery(Struct, frozen=True, kw_only=True):
    """Test delivery with its answer. `sender_event_id` is the id that the delivery has, if its format has one.

    `http_status` and `answer` are null without an answer; then `error` says why. `delivery_status` and `event_id` are
    those of the answer; a source with `success_body` answers without them.
    """

    source: str
    event: str
    record_id: str
    sender_event_id: str
    http_status: int | None = None
    answer: str | None = None
    duration_ms: float
    delivery_status: str | None = None
    event_id: str | None = None
    error: str | None = None


class SourceTester(Struct, frozen=True):
    """Sends test deliveries to the sources of a configuration. `url` returns the URL of the webhook port."""

    config: Config
    environ: Mapping[str, str]
    outbound: HttpClient
    url: Callable[[], str]

    def find_event(self, source: str) -> str | None:
        """Return an event type that the source accepts, None if Waybill cannot sign for the source."""
        return example_event_of(self.config, source)

    async def send(self, source: str, event: str, record_id: str) -> TestDelivery:
        """Send a delivery with an event type about a record, signed with the first secret of the source.

        Raises:
            Rejection: 422 `invalid`: Waybill cannot sign for the source.
            ConfigError: the secret is not set.
        """
        if self.find_event(source) is None:
            detail = f"Waybill cannot sign for {source}: it has no secret, and its sender alone has the private key."
            raise Rejection(422, "invalid", detail)
        settings, own_id = self.config.sources[source], new_event_id()
        # Another time in each delivery, as it may be the only difference between two of them.
        at = datetime.now(UTC).replace(year=TEST_YEAR).isoformat(timespec="milliseconds")
        request = SampleRequest(event, record_id, own_id, at)
        sample = render(request, settings, self.config.account_of(settings))
        sample = SampleDelivery(sample.body, {**sample.headers, "user-agent": USER_AGENT})
        secret = first_secret(self.config, source, self.environ)
        sender = Sender(source, settings, secret, self.url(), "application/json")
        started = time.monotonic()
        response = await post_delivery(sender, self.outbound, own_id, sample)
        duration_ms = round((time.monotonic() - started) * 1000, 1)
        sent = TestDelivery(
            source=source, event=event, record_id=record_id, sender_event_id=own_id, duration_ms=duration_ms
        )
        if isinstance(response, TransientError):
            return structs.replace(sent, error=f"{response.kind}: {response}")
        text, answer = response.body.decode(errors="replace"), _read_answer(response.body)
        return structs.replace(
            sent,
            http_status=response.status,
            answer=text,
            delivery_status=answer.status,
            event_id=answer.event_id,
        )


def webhook_url(host: str, port: int) -> str:
    """Return the URL at which a process reaches its own webhook port."""
    address = _LOOPBACK if host in _ANY_ADDRESS else host
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


class _Answer(Struct, frozen=True):
    status: str | None = None
    event_id: str | None = None


def _read_answer(body: bytes) -> _Answer:
    try:
        return msgspec.json.decode(body, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _Answer()
