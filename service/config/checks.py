"""Checks across fields: unknown names, parts that do not fit together, and missing secrets."""

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from service.config.decoding import did_you_mean
from service.config.platforms import NoPlatformConfig, PlatformConfig, secrets, urls
from service.config.presets import load_preset
from service.config.sources import SourceConfig
from service.envelopes import CloudEventsEnvelope, CustomEnvelope, PlatformEnvelope, StandardWebhooksEnvelope
from service.envelopes.pointer_envelope import RecordOverride, RecordPointers
from service.errors import ConfigError
from service.events import CREDENTIAL_HEADER
from service.records import KnownRecords
from service.signatures import SchemeConfig, Unverified

INGEST_TIMEOUT_SECONDS = 8.0
"""Default of WAYBILL_INGEST_TIMEOUT_SECONDS."""
STRICT_SECONDS_MAX = 5.0
"""Time budget from which a sender is strict."""
PROXY_VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
PROXY_SETTINGS = ("WAYBILL_OUTBOUND_PROXY_URL", "WAYBILL_OUTBOUND_PROXY_URL_FILE", "WAYBILL_OUTBOUND_PROXY_VARIABLES")
_PLACEHOLDER = re.compile(
    r"(?i)\A(change[_-]?me|secret|password|todo|x{3,}|your[_-].*|<.*>|\$\{.*\}|.*(\.\.\.|\u2026))\Z"
)
"""A text that stands for a secret, or a secret that was copied in part."""
_INDEX = re.compile(r"^/(.*/)?[0-9]+(/|\Z)")
"""A pointer with an index of a list."""


def check_platform(
    at: str, platform: PlatformConfig, environ: Mapping[str, str], records: KnownRecords
) -> Iterator[ConfigError]:
    """Yield the mistakes in one platform."""
    for path, ref in secrets(platform, at):
        try:
            ref.resolve(environ, path)
        except ConfigError as error:
            yield error
    for path, url in urls(platform, at):
        try:
            _ = urlsplit(url).port
        except ValueError as error:
            yield ConfigError(path, f"cannot be used: {error}", "correct host and port")
    yield from platform.check(at, records)


def check_source(
    at: str, source: SourceConfig, platforms: Mapping[str, PlatformConfig | None], environ: Mapping[str, str]
) -> Iterator[ConfigError]:
    """Yield the mistakes in one source. A platform that is None exists, but has mistakes of its own."""
    if source.verify is None and source.poll is None:
        fix = "add verify: with the sender's scheme, or poll: {every: 5m, record: customer}"
        yield ConfigError(at, "has neither verify nor poll, so it receives no events", fix)
    yield from _check_scheme(at, source, environ)
    if source.success_status in {204, 205} and source.success_body:
        fix = "remove success_body, or write success_status: 200"
        yield ConfigError(f"{at}.success_body", f"a response with status {source.success_status} has no body", fix)
    if source.handshake is not None and source.handshake.proof and isinstance(source.envelope, CloudEventsEnvelope):
        fix = "use another envelope, or a challenge"
        yield ConfigError(f"{at}.handshake.proof", "a proof can be sent back as the signature of a binary event", fix)
    for index, name in enumerate(source.headers):
        if CREDENTIAL_HEADER.search(name):
            reason = f"{name} may hold a credential, which no event stores"
            yield ConfigError(f"{at}.headers[{index}]", reason, "remove it")
    if source.platform not in platforms:
        fix = did_you_mean(source.platform, platforms)
        yield ConfigError(f"{at}.platform", f"there is no platform {source.platform}", fix)
        return
    platform = platforms[source.platform]
    # The mistakes of the platform are reported elsewhere. The other checks need a valid platform.
    if platform is None:
        return
    if source.verify is not None:
        yield from _check_envelope(f"{at}.envelope", source, platform)
    if source.poll is not None and source.poll.record not in platform.listed_kinds():
        fix = platform.unlisted_fix(source.platform, source.poll.record)
        yield ConfigError(
            f"{at}.poll.record", f"{source.platform} cannot list {source.poll.record}, so it cannot be polled", fix
        )


def _check_scheme(at: str, source: SourceConfig, environ: Mapping[str, str]) -> Iterator[ConfigError]:
    try:
        if source.verify is not None:
            source.verify.build(environ, f"{at}.verify")
        if source.handshake is not None:
            source.handshake.build(environ, f"{at}.handshake")
        if source.challenge is not None:
            source.challenge.build(environ, f"{at}.challenge", 1, source.body)
    except ConfigError as error:
        yield error
    if isinstance(source.verify, Unverified) and not source.allow_unverified:
        fix = "verify the sender, or write allow_unverified: true beside verify to accept that anyone may send"
        yield ConfigError(f"{at}.verify", "scheme none accepts deliveries from anyone", fix)


def environ_warnings(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the warnings about variables that other programs read and Waybill does not."""
    if any(environ.get(name, "false").lower() not in {"", "0", "false"} for name in PROXY_SETTINGS):
        return
    for name in PROXY_VARIABLES:
        if any(environ.get(spelling) for spelling in (name, name.lower())):
            yield f"{name}: is ignored; for a proxy set WAYBILL_OUTBOUND_PROXY_URL or WAYBILL_OUTBOUND_PROXY_VARIABLES"


def platform_warnings(at: str, platform: PlatformConfig) -> Iterator[str]:
    """Yield the warnings about a platform without mistakes."""
    if not any(secrets(platform, at)):
        return
    for path, url in urls(platform, at):
        address = urlsplit(url)
        if address.scheme == "http" and _is_public(address.hostname or ""):
            yield f"{path}: http sends the credentials unencrypted; use https"


def source_warnings(
    at: str, source: SourceConfig, platform: PlatformConfig, environ: Mapping[str, str]
) -> Iterator[str]:
    """Yield the warnings about a source without mistakes."""
    if source.verify is not None:
        for text in source.verify.warnings(environ):
            yield f"{at}.verify: {text}"
        yield from _identity_warnings(at, source, source.verify)
        yield from _secret_warnings(at, source.verify, environ)
        tolerance = getattr(source.verify, "tolerance_seconds", 0)
        if source.dedupe_hours is not None and source.dedupe_hours * 3_600 < 2 * tolerance:
            yield (
                f"{at}.dedupe_hours: is shorter than the time in which a captured delivery is accepted, twice "
                f"tolerance_seconds ({2 * tolerance} s); it could be ingested again"
            )
    yield from _pointer_warnings(at, source)
    seconds = load_preset(source.preset).answer_seconds if source.preset is not None else None
    timeout = float(environ.get("WAYBILL_INGEST_TIMEOUT_SECONDS", INGEST_TIMEOUT_SECONDS))
    if seconds is not None and seconds <= STRICT_SECONDS_MAX and seconds < timeout:
        yield (
            f"{at}.preset: the sender waits {seconds:g} s for the answer, but a slow store is given {timeout:g} s; "
            "set WAYBILL_INGEST_TIMEOUT_SECONDS below it"
        )
    envelope = source.envelope
    if isinstance(envelope, CustomEnvelope) and _is_creation_time(envelope.occurred_at):
        yield (
            f"{at}.envelope.occurred_at: {envelope.occurred_at} looks like a creation time; an event that is more than "
            "2 s newer than its record waits for a newer record. Give the time of the change, or remove it"
        )
    if source.allow_unverified and not isinstance(source.verify, Unverified):
        yield f"{at}.allow_unverified: has no effect, since deliveries are verified; remove it"
    retried = redelivery_hours(source, platform)
    if source.dedupe_hours is not None and source.dedupe_hours < retried:
        yield f"{at}.dedupe_hours: the sender may send an event again for {retried:g} hours; later ones count as new"


def _is_creation_time(pointer: str | None) -> bool:
    """Return whether the last name of a pointer is that of a creation time, such as `createdAt` or `creation_date`."""
    return "creat" in (pointer or "").rpartition("/")[2].lower()


def redelivery_hours(source: SourceConfig, platform: PlatformConfig) -> float:
    """Return the hours within which the sender may redeliver an event, or 0 if unknown."""
    preset = load_preset(source.preset).redelivery_hours if source.preset is not None else None
    return max(platform.redelivery_hours or 0.0, preset or 0.0)


def _identity_warnings(at: str, source: SourceConfig, scheme: SchemeConfig) -> Iterator[str]:
    """Yield warnings where the dedupe key differs from the sender's identity of an event."""
    covered = scheme.signed_parts
    if "id" in covered or source.identical_bodies is not None:
        return
    envelope = source.envelope
    if isinstance(envelope, CloudEventsEnvelope):
        yield f"{at}.envelope: ce-id is not signed, so events in binary mode with equal data count as one"
    if isinstance(envelope, StandardWebhooksEnvelope) or (isinstance(envelope, CustomEnvelope) and not envelope.id):
        effect = "a re-signed redelivery counts as a new event" if covered > {"body"} else "equal bodies count as one"
        yield f"{at}.envelope: has no id, so {effect}; add the pointer to the id, or identical_bodies"


def _secret_warnings(at: str, scheme: SchemeConfig, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield warnings about secrets that look damaged. The warning does not contain the secret."""
    for index, ref in enumerate(scheme.refs):
        secret = ref.resolve(environ)
        damage = (
            "has surrounding blanks" if secret != secret.strip()
            else "is in quotes" if len(secret) > 1 and secret[0] == secret[-1] and secret[0] in "'\"`"
            else "has control characters" if not secret.isprintable()
            else "looks like a placeholder" if _PLACEHOLDER.search(secret)
            else ""
        )  # fmt: skip
        if damage:
            yield f"{at}.verify.secrets[{index}]: the secret {damage}; copy it again from the sender"


def _pointer_warnings(at: str, source: SourceConfig) -> Iterator[str]:
    """Yield warnings about pointers that drop or confuse events."""
    envelope = source.envelope
    if isinstance(envelope, PlatformEnvelope):
        return
    record = envelope.record
    named = {} if record is None else {"record.id": record.id, "record.kind": record.kind}
    if isinstance(envelope, CustomEnvelope):
        written = envelope.type if isinstance(envelope.type, str) else None
        named |= {"id": envelope.id, "type": written, "occurred_at": envelope.occurred_at}
        if envelope.id is not None and record is not None and envelope.id == record.id:
            effect = "the second change of a record counts as a duplicate"
            yield f"{at}.envelope.id: is the record's id, so {effect}; remove it, or point to the event's id"
    for name, pointer in named.items():
        if pointer and _INDEX.search(pointer):
            yield f"{at}.envelope.{name}: an index selects one item of a list, and the others are dropped; use each"


def _check_envelope(at: str, source: SourceConfig, platform: PlatformConfig) -> Iterator[ConfigError]:
    envelope = source.envelope
    if isinstance(envelope, PlatformEnvelope):
        if isinstance(platform, NoPlatformConfig):
            fix = "write envelope: {kind: custom, type: /type}, or add platform: with an account"
            yield ConfigError(at, "is required without a platform", fix)
        elif not platform.has_envelope:
            fix = "write envelope: {kind: custom, type: /type, record: {kind: …, id: /…}}"
            yield ConfigError(at, "a custom platform has no envelope of its own", fix)
        return
    if envelope.record is None and not isinstance(platform, NoPlatformConfig):
        yield ConfigError(f"{at}.record", "is missing", "write record: {kind: …, id: /…}")
    if envelope.record is not None:
        yield from _check_record_kinds(f"{at}.record", envelope.record, source, platform)


def _check_record_kinds(
    at: str, pointers: RecordPointers | RecordOverride, source: SourceConfig, platform: PlatformConfig
) -> Iterator[ConfigError]:
    if isinstance(platform, NoPlatformConfig):
        # A written kind needs a platform, which is missing. Presets name kinds for sources with and without one.
        if source.preset is None and (pointers.kind or pointers.kinds):
            fix = "add platform: with the account of the records, or remove kind and kinds"
            yield ConfigError(at, "has a record kind, but the source has no platform", fix)
        return
    known = platform.known_kinds()
    named = {f"{at}.kinds.{name}": kind for name, kind in pointers.kinds.items()}
    if pointers.kind and not pointers.kind.startswith("/"):
        named[f"{at}.kind"] = pointers.kind
    if source.preset is not None and known.intersection(pointers.kinds.values()):
        named = {path: kind for path, kind in named.items() if ".kinds." not in path}
    for path, kind in named.items():
        if kind not in known:
            yield ConfigError(path, f"{source.platform} has no {kind}", did_you_mean(kind, known))


def _is_public(host: str) -> bool:
    """Return whether a host is on the public internet, judging by its name or address."""
    try:
        return ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith((".local", ".internal", ".svc", ".localhost"))
