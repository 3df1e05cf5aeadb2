"""Examples of what sources accept: a source that accepts deliveries, and an event type that it accepts."""

from msgspec import Struct

from service.config import Config, PlatformConfig, SourceConfig
from service.envelopes import CustomEnvelope, PlatformEnvelope
from service.envelopes.pointer_envelope import RecordOverride
from service.platforms.registry import kind_of
from service.signatures import Unverified

ORDER = "purchase_order"
CHANGES = ("updated", "changed", "created", "deleted")


class ExampleEvent(Struct, frozen=True):
    """A source and an event type."""

    source: str
    event: str


def find_example_event(config: Config) -> ExampleEvent | None:
    """Return an example for the first source that accepts deliveries, None if there is no such source."""
    for name in config.sources:
        event = example_event_of(config, name)
        if event is not None:
            return ExampleEvent(name, event)
    return None


def example_event_of(config: Config, name: str) -> str | None:
    """Return an event type that a source accepts, None if Waybill cannot sign for the source."""
    source = config.sources[name]
    # Signing for a source with public keys only requires the private key.
    can_sign = source.verify is not None and (source.verify.refs or isinstance(source.verify, Unverified))
    return _event_of(source, config.account_of(source)) if can_sign else None


def _event_of(source: SourceConfig, platform: PlatformConfig) -> str:
    envelope = source.envelope
    if isinstance(envelope, PlatformEnvelope):
        return kind_of(platform).sample_event
    if isinstance(envelope, CustomEnvelope) and isinstance(envelope.type, str) and not envelope.type.startswith("/"):
        return envelope.type
    types = {change: event for event, change in reversed(envelope.types.items())}
    named = next((types[change] for change in CHANGES if change in types), None)
    record = envelope.record or RecordOverride()
    return named or f"{_kind_of(record.kind, record.kinds, platform)}.updated"


def _kind_of(kind: str | None, kinds: dict[str, str], platform: PlatformConfig) -> str:
    """Return the sender's name of a record kind."""
    if kind is not None and not kind.startswith("/"):
        return kind
    if kinds:
        return next(iter(kinds))
    known = platform.known_kinds()
    return ORDER if ORDER in known else min(known)
