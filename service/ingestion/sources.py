"""The configured senders, ready to judge: raw bytes in, facts with their identities out. Pure; randomness is handed in.

The identity of an event, its claim, rests on what the sender vouched for: the id where it stands in the body or in a
signed header, else the signed bytes themselves. So a header that nobody signed cannot make a captured delivery new.
"""

import base64
import hashlib
import os
from collections.abc import Callable, Mapping

from msgspec import Struct

from service.challenges.challenge import ChallengeAnswerer
from service.challenges.challenge_response import ChallengeResponse
from service.challenges.endpoint_verification import EndpointVerification
from service.config import Config, PlatformConfig, SourceConfig
from service.config.checks import redelivery_hours
from service.envelopes import DeliveryParser, ParseContext
from service.envelopes.envelope import FACTS_MAX, not_an_event
from service.errors import Rejection
from service.events import Delivery, Fact
from service.platforms import Platform
from service.settings import Settings
from service.signatures import SchemeConfig, Verified, Verifier

DEDUPE_KEY_BYTES = 18
"""144 bits, which base64url writes as 24 characters without padding."""
TEXT_CHARACTERS_MAX = 256
"""Of a type or a record's id; they stand in keys and log lines."""
ID_CHARACTERS_MAX = 2_048
"""Of an event's id, which only becomes a digest; with CloudEvents it holds a URI besides."""

_HOUR_MS = 3_600_000


class VerifiedDelivery(Struct, frozen=True, gc=False):
    """What one delivery told, fact by fact.

    `claims[i]` is the identity of `facts[i]`, text bound to the source's name; `bodies[i]` the bytes that tell it;
    `identified[i]` whether the sender gave it an id.
    """

    facts: tuple[Fact, ...]
    claims: tuple[str, ...]
    bodies: tuple[bytes, ...]
    identified: tuple[bool, ...]


class Source(Struct, frozen=True, kw_only=True):
    """One configured sender.

    `window_ms` is how long its claims are kept, `failure_status` what a delivery is answered that cannot be verified.
    `content_types` are the media types it takes: names, ends such as `+json`, or `*`. `distinct` makes every delivery
    without an id an event of its own, `entropy` then sets them apart. `challenger` and `asked` know the
    sender's handshakes: by a delivery, and by a query or a header.
    """

    name: str
    platform: str
    window_ms: int
    failure_status: int
    content_types: frozenset[str]
    distinct: bool
    verifier: Verifier
    reader: DeliveryParser
    entropy: Callable[[int], bytes]
    challenger: ChallengeAnswerer | None = None
    asked: EndpointVerification | None = None
    retries_on_429: bool = False

    def verify_and_parse(self, delivery: Delivery) -> VerifiedDelivery:
        """Verify the raw bytes, then read them. Raises Refusal, as `verify` and `parse`."""
        return self.parse(delivery, self.verify(delivery))

    def verify(self, delivery: Delivery) -> Verified:
        """Judge the raw bytes, before anything is made of them.

        Raises:
            Refusal: `not_verified` or `stale_timestamp` with the source's status (401).
        """
        try:
            return self.verifier.verify(delivery)
        except Rejection as refusal:
            raise self._failure(refusal) from None

    def answer_verification_request(
        self, method: str, query: bytes, headers: Mapping[str, str]
    ) -> ChallengeResponse | None:
        """Give the answer to a request that only asks whether the address is ours, None for any other.

        Raises:
            Refusal: `not_verified` with the source's status (401).
        """
        if self.asked is None:
            return None
        try:
            return self.asked.answer(method, query, headers)
        except Rejection as refusal:
            raise self._failure(refusal) from None

    def _failure(self, refusal: Rejection) -> Rejection:
        same = refusal.status == self.failure_status
        return refusal if same else Rejection(self.failure_status, refusal.code, refusal.detail)

    def answer_challenge(self, delivery: Delivery) -> ChallengeResponse | None:
        """Give the answer to a verified delivery that only asks whether the address is ours, None for any other."""
        return None if self.challenger is None else self.challenger(delivery)

    def parse(self, delivery: Delivery, verified: Verified) -> VerifiedDelivery:
        """Read a delivery; `verified` is what `verify` made of it.

        Raises:
            Rejection: 400 `malformed_payload`, 415 `unsupported_media_type`, 422 `unrecognized_event`;
                `not_verified` where the signed id could be another one.
        """
        parsed = self.reader(delivery)
        if verified.movable and not parsed.is_json:
            detail = "The id holds the text that parts it from the body, so it is not known where it ends."
            raise Rejection(self.failure_status, "not_verified", detail)
        _check_facts(parsed.facts)
        shared = verified.id is not None
        identified = tuple([shared or fact.id is not None for fact in parsed.facts])
        return VerifiedDelivery(parsed.facts, self._claims(parsed.facts, verified), parsed.bodies, identified)

    def _claims(self, facts: tuple[Fact, ...], verified: Verified) -> tuple[str, ...]:
        """Give each fact its claim; the same id twice in one delivery is told apart by its turn."""
        # Nearly every delivery: one event, with its id.
        if len(facts) == 1 and facts[0].id is not None:
            return (dedupe_key_of_id(self.name, facts[0].id),)
        shared = self._shared_identity(verified) if any(fact.id is None for fact in facts) else (b"", b"")
        turns: dict[tuple[bytes, bytes], int] = {}
        claims: list[str] = []
        for fact in facts:
            identity = shared if fact.id is None else (b"id", fact.id.encode())
            turn = turns.get(identity, 0)
            turns[identity] = turn + 1
            claims.append(_digest(self.name, *identity, turn))
        return tuple(claims)

    def _shared_identity(self, verified: Verified) -> tuple[bytes, bytes]:
        """Give what stands for a fact without an id of its own in the body."""
        if verified.id is not None:
            return b"id", verified.id.encode()
        if self.distinct:
            return b"distinct", self.entropy(DEDUPE_KEY_BYTES)
        return b"signed", verified.signed


def build_sources(
    config: Config,
    environ: Mapping[str, str],
    platforms: Mapping[str, Platform],
    settings: Settings,
    entropy: Callable[[int], bytes] = os.urandom,
) -> dict[str, Source]:
    """Make every configured source that is sent to, by its name; `platforms` are the connectors by account.

    Raises:
        ConfigError: a secret that is missing or malformed.
    """
    return {
        name: _build(
            name,
            source,
            source.verify,
            config.platforms[source.platform],
            platforms[source.platform],
            environ,
            settings,
            entropy,
        )
        for name, source in config.sources.items()
        if source.verify is not None
    }


def _build(  # noqa: PLR0917 - joins what the process and the operator say of one source
    name: str,
    source: SourceConfig,
    scheme: SchemeConfig,
    account: PlatformConfig,
    platform: Platform,
    environ: Mapping[str, str],
    settings: Settings,
    entropy: Callable[[int], bytes],
) -> Source:
    # A claim has to outlive the sender's redeliveries, or one of them would count as new.
    hours = source.dedupe_hours or max(settings.dedupe_hours, redelivery_hours(source, account))
    return Source(
        name=name,
        platform=source.platform,
        window_ms=int(hours * _HOUR_MS),
        failure_status=source.failure_status,
        content_types=source.envelope.content_types | frozenset(source.content_types),
        distinct=(source.identical_bodies or account.identical_bodies_default) == "distinct",
        verifier=scheme.build(environ, f"sources.{name}.verify"),
        reader=source.envelope.reader(ParseContext(platform, account.known_kinds(), settings.body_depth_max)),
        entropy=entropy,
        challenger=source.challenge
        and source.challenge.build(environ, f"sources.{name}.challenge", settings.body_depth_max),
        asked=source.handshake and source.handshake.build(environ, f"sources.{name}.handshake"),
        retries_on_429=account.retries_on_429,
    )


def dedupe_key_of_id(source: str, sender_id: str) -> str:
    """Give the claim of the event that a sender gave this id, so that it can be found by it."""
    return _digest(source, b"id", sender_id.encode(), 0)


def _digest(source: str, kind: bytes, identity: bytes, turn: int) -> str:
    head = b"%b\0%b\0%d\0" % (source.encode(), kind, turn)
    digest = hashlib.blake2b(head + identity, digest_size=DEDUPE_KEY_BYTES).digest()
    return base64.urlsafe_b64encode(digest).decode()


def _check_facts(facts: tuple[Fact, ...]) -> None:
    """Hold what goes into keys and log lines to its bounds, whoever read it."""
    if len(facts) > FACTS_MAX:
        raise not_an_event(f"Send at most {FACTS_MAX} events in one delivery.")
    for fact in facts:
        _check_text(fact.type, "type")
        if fact.record is None:
            continue  # ignored, so nothing else of it goes anywhere
        if fact.id is not None:
            _check_text(fact.id, "id", ID_CHARACTERS_MAX)
        _check_text(fact.record.id, "record's id")


def _check_text(text: str, what: str, characters_max: int = TEXT_CHARACTERS_MAX) -> None:
    if not 0 < len(text) <= characters_max or not text.isprintable():
        detail = f"Send the {what} as 1 to {characters_max} printable characters."
        raise not_an_event(detail)
