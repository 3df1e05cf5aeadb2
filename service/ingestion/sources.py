"""Sources: verify the signature of a delivery, parse its facts, derive their dedupe keys. Pure.

A dedupe key depends on signed data only: an id in the body or in a signed header, else the signed bytes. An unsigned
header therefore cannot make a replayed delivery pass as new.
"""

import os
from collections.abc import Callable, Mapping

from msgspec import Struct, structs

from service.bodies.body_format import BodyDecoder, build_body_decoder, form_media_types
from service.bodies.repair import repair_json
from service.challenges.challenge import ChallengeAnswerer
from service.challenges.challenge_response import ChallengeResponse
from service.challenges.endpoint_verification import EndpointVerification
from service.config import Config, PlatformConfig, SourceConfig
from service.config.checks import redelivery_hours
from service.envelopes import DeliveryParser, ParseContext, ParsedDelivery
from service.envelopes.envelope import Connector, NoPlatform, RejectedItem
from service.errors import Rejection
from service.events import Delivery, Fact
from service.ingestion.dedupe_keys import (
    DEDUPE_KEY_BYTES,
    dedupe_key_of_id,
    dedupe_keys_of,
    digest_identity,
    key_with_record,
)
from service.ingestion.diagnosis import SchemeFinder
from service.ingestion.fact_limits import check_facts
from service.platforms import Platform
from service.secrets import SecretRef
from service.settings import Settings
from service.signatures import SchemeConfig, Verified, Verifier
from service.signatures.public_key import PublicKeys

_HOUR_MS = 3_600_000


class VerifiedDelivery(Struct, frozen=True, gc=False):
    """Facts of a verified delivery.

    For `facts[i]`, `dedupe_keys[i]` is the dedupe key, `bodies[i]` the bytes that contain the fact, and
    `sender_ids[i]` the sender's event id, from the body or a signed header.
    """

    facts: tuple[Fact, ...]
    dedupe_keys: tuple[str, ...]
    bodies: tuple[bytes, ...]
    sender_ids: tuple[str | None, ...]
    repaired: bool = False
    """Whether the body was repaired before it was parsed."""
    rejected: tuple["QuarantinedItem", ...] = ()
    """Items of a batch that are not events of the source."""


class QuarantinedItem(Struct, frozen=True, gc=False):
    """Rejected item of a batch. `dedupe_key` is for an event without an id."""

    item: RejectedItem
    dedupe_key: str


class Source(Struct, frozen=True, kw_only=True):
    """One configured sender.

    Attributes:
        window_ms: dedupe window.
        failure_status: HTTP status for deliveries that fail verification.
        content_types: accepted media types, suffixes such as `+json`, or `*`.
        dedupe_by_record: true if the dedupe key includes the record.
        distinct: true if each delivery without an event id is a new event, with a dedupe key from `entropy`.
        challenger: answers challenges sent as a delivery, if the sender uses them.
        endpoint_verification: answers challenges sent as a query or header, if the sender uses them.
        decode_body: converts a body that is not JSON, if the sender sends forms.
        finder: finds the scheme that verifies a rejected delivery.
        stored_headers: headers that events store in addition.
        success_status, success_body: answer to an accepted delivery; without a body, JSON with the event's id.
    """

    name: str
    platform: str
    window_ms: int
    failure_status: int
    content_types: frozenset[str]
    distinct: bool
    verifier: Verifier
    parser: DeliveryParser
    entropy: Callable[[int], bytes]
    challenger: ChallengeAnswerer | None = None
    endpoint_verification: EndpointVerification | None = None
    decode_body: BodyDecoder | None = None
    success_status: int = 202
    success_body: str | None = None
    dedupe_by_record: bool = False
    retries_on_429: bool = False
    stored_headers: frozenset[str] = frozenset()
    finder: SchemeFinder | None = None

    def verify_and_parse(self, delivery: Delivery) -> VerifiedDelivery:
        """Verify the raw bytes, then parse them. Raises what `verify` and `parse` raise."""
        return self.parse(delivery, self.verify(delivery))

    def verify(self, delivery: Delivery) -> Verified:
        """Verify the signature of the raw bytes.

        Raises:
            Rejection: `not_verified` or `stale_timestamp`, with `failure_status` (401).
        """
        try:
            return self.verifier.verify(delivery)
        except Rejection as rejection:
            raise self._failure(rejection) from None

    def answer_verification_request(
        self, method: str, query: bytes, headers: Mapping[str, str]
    ) -> ChallengeResponse | None:
        """Return the challenge response to an endpoint verification request, None for any other request.

        Raises:
            Rejection: `not_verified`, with `failure_status` (401).
        """
        if self.endpoint_verification is None:
            return None
        try:
            return self.endpoint_verification.answer(method, query, headers)
        except Rejection as rejection:
            raise self._failure(rejection) from None

    def _failure(self, rejection: Rejection) -> Rejection:
        same = rejection.status == self.failure_status
        return rejection if same else Rejection(self.failure_status, rejection.code, rejection.detail)

    def answer_challenge(self, delivery: Delivery) -> ChallengeResponse | None:
        """Return the challenge response to a delivery that is a challenge, None for any other delivery."""
        return None if self.challenger is None else self.challenger(delivery)

    @property
    def answers_unsigned_challenges(self) -> bool:
        """Whether challenges are answered without a signature."""
        return self.challenger is not None and self.challenger.unsigned

    def parse(self, delivery: Delivery, verified: Verified) -> VerifiedDelivery:
        """Parse a delivery; `verified` is the result of `verify`.

        Raises:
            Rejection: 400 `malformed_payload`, 415 `unsupported_media_type`, 422 `unrecognized_event`;
                `not_verified` if the signed id is ambiguous.
        """
        if self.decode_body is not None:
            delivery = structs.replace(delivery, body=self.decode_body(delivery.body))
        parsed, repaired = self._parse_or_repair(delivery)
        if verified.movable and not (parsed.is_json and self.decode_body is None):
            detail = (
                "The event id contains the separator between the id and the body in the signed text, so its end is"
                " ambiguous. Send an id without it, or a body that is JSON."
            )
            raise Rejection(self.failure_status, "not_verified", detail)
        check_facts(parsed.facts)
        rejected: tuple[QuarantinedItem, ...] = ()
        if parsed.rejected:
            shared = self._shared_identity(verified)
            keys = [digest_identity(self.name, *shared, item.index) for item in parsed.rejected]
            rejected = tuple(map(QuarantinedItem, parsed.rejected, keys))
        sender_ids = tuple([verified.id if fact.id is None else fact.id for fact in parsed.facts])
        dedupe_keys = dedupe_keys_of(
            self.name, parsed, lambda: self._shared_identity(verified), by_record=self.dedupe_by_record
        )
        return VerifiedDelivery(parsed.facts, dedupe_keys, parsed.bodies, sender_ids, repaired, rejected)

    def parse_item(self, delivery: Delivery, dedupe_key: str) -> VerifiedDelivery:
        """Parse one item of a batch that was verified before.

        Raises:
            Rejection: 400 `malformed_payload`, 422 `unrecognized_event`.
        """
        parsed, repaired = self._parse_or_repair(delivery)
        check_facts(parsed.facts)
        sender_ids = tuple([fact.id for fact in parsed.facts])
        keys = [dedupe_key if fact.id is None else dedupe_key_of_id(self.name, fact.id) for fact in parsed.facts]
        if self.dedupe_by_record:
            keys = [key_with_record(self.name, key, fact.record) for key, fact in zip(keys, parsed.facts, strict=True)]
        return VerifiedDelivery(parsed.facts, tuple(keys), parsed.bodies, sender_ids, repaired)

    def _parse_or_repair(self, delivery: Delivery) -> tuple[ParsedDelivery, bool]:
        """Parse a delivery; if it is malformed, parse its repaired body. Return whether it was repaired."""
        parsed: ParsedDelivery | None = None
        failure: Rejection | None = None
        try:
            parsed = self.parser(delivery)
            if all(item.rejection.code != "malformed_payload" for item in parsed.rejected):
                return parsed, False
        except Rejection as rejection:
            if rejection.code != "malformed_payload":
                raise
            failure = rejection
        # Only after a failure: few deliveries need the repair, and every delivery would pay for it.
        repaired = repair_json(delivery.body)
        if repaired == delivery.body:
            if failure is not None:
                raise failure
            assert parsed is not None  # one of the two is set
            return parsed, False
        return self.parser(structs.replace(delivery, body=repaired)), True

    def _shared_identity(self, verified: Verified) -> tuple[bytes, bytes]:
        """Return the identity of a fact that has no event id in the body."""
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
    """Build every configured source that receives deliveries, by name. `platforms` holds the connectors by account.

    Raises:
        ConfigError: a secret is missing or malformed.
    """
    secrets = {
        f"sources.{name}.verify.secrets[{index}]": ref.resolve(environ, f"sources.{name}.verify.secrets[{index}]")
        for name, source in config.sources.items()
        if source.verify is not None
        for index, ref in enumerate(source.verify.refs)
    }
    public_keys: dict[str, str] = {}
    for name, source in config.sources.items():
        written: PublicKeys = getattr(source.verify, "public_keys", ())
        for index, key in enumerate(written):
            path = f"sources.{name}.verify.public_keys[{index}]"
            public_keys[path] = key.resolve(environ, path) if isinstance(key, SecretRef) else key
    return {
        name: _build(
            name,
            source,
            source.verify,
            config.account_of(source),
            platforms.get(source.platform) or NoPlatform(source.platform),
            environ,
            settings,
            entropy,
            SchemeFinder(source.verify, secrets, public_keys),
        )
        for name, source in config.sources.items()
        if source.verify is not None
    }


def _build(  # noqa: PLR0917 - joins the settings and the configuration of one source
    name: str,
    source: SourceConfig,
    scheme: SchemeConfig,
    account: PlatformConfig,
    connector: Connector,
    environ: Mapping[str, str],
    settings: Settings,
    entropy: Callable[[int], bytes],
    finder: SchemeFinder,
) -> Source:
    # A dedupe key must outlive the sender's redeliveries, or one of them would count as new.
    hours = source.dedupe_hours or max(settings.dedupe_hours, redelivery_hours(source, account))
    context = ParseContext(connector, account.known_kinds(), settings.body_depth_max, settings.delivery_events_max)
    return Source(
        name=name,
        platform=source.platform,
        window_ms=int(hours * _HOUR_MS),
        failure_status=source.failure_status,
        content_types=source.envelope.content_types | form_media_types(source.body) | frozenset(source.content_types),
        distinct=(source.identical_bodies or account.identical_bodies_default) == "distinct",
        verifier=scheme.build(environ, f"sources.{name}.verify"),
        parser=source.envelope.reader(context),
        entropy=entropy,
        challenger=source.challenge
        and source.challenge.build(environ, f"sources.{name}.challenge", settings.body_depth_max, source.body),
        endpoint_verification=source.handshake and source.handshake.build(environ, f"sources.{name}.handshake"),
        decode_body=build_body_decoder(source.body),
        success_status=source.success_status,
        success_body=source.success_body,
        dedupe_by_record=source.dedupe_by == "id_and_record",
        retries_on_429=account.retries_on_429,
        stored_headers=frozenset(source.headers),
        finder=finder,
    )
