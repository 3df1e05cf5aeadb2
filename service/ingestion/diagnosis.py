"""Diagnosis of a delivery that was not verified: the schemes and configured secrets that would verify it. Pure.

It tries the presets, variants of the configured scheme, and HMAC of common signed texts with every header that looks
like a signature. Public keys are tried likewise. The number of attempts and the hashed bytes are limited.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, get_args

import msgspec
from msgspec import Struct, structs

from service.config.presets import expand_preset, load_preset, preset_names
from service.errors import ConfigError, Rejection
from service.events import Delivery
from service.ingestion.public_key_diagnosis import public_key_schemes, secret_message_signatures
from service.secrets import SecretRef
from service.signatures import Hmac, PathToken, Scheme, SchemeConfig, StandardWebhooks, Unverified
from service.signatures.keys import KeyEncoding
from service.signatures.proofs import Encoding, HashAlgorithm
from service.signatures.timestamps import TimestampFormat

ATTEMPTS_MAX = 20_000
HASHED_BYTES_MAX = 64 * 1_048_576
MATCHES_MAX = 10
SECRET = "DIAGNOSED"  # noqa: S105 - the name of a variable

_REFS = (SecretRef(env=SECRET),)
_PART = re.compile(r"(?P<prefix>[A-Za-z0-9_-]{1,20}[=,])?(?P<text>[A-Za-z0-9+/_-]{20,128}={0,2})")
_TIME = re.compile(r"(?P<prefix>[a-z]{1,10}=)?(?P<text>\d{13}|\d{10}|\d{4}-\d\d-\d\dT.{8,30}|[A-Z][a-z]{2}, .{20,30})")
_ALGORITHMS: dict[int, HashAlgorithm] = {20: "sha1", 32: "sha256", 48: "sha384", 64: "sha512"}
_SIGNED = ("{body}", "{url}{body}", "{body}{url}", "{method}{url}{body}", "{body:base64}")
_SIGNED_WITH_TIME = (
    "{timestamp}.{body}", "{timestamp}:{body}", "{timestamp}{body}", "{body}{timestamp}", "v0:{timestamp}:{body}",
    "{method}{url}{body}{timestamp}",
)  # fmt: skip
_BODIES = ("as received", "without the line break at its end", "with a line break at its end")


class Diagnosis(Struct, frozen=True, kw_only=True):
    """Scheme that verifies a delivery: `verify` without keys, and the path of its secret or public key in waybill.yaml.

    `body` says how the body must differ; a proxy or a test tool may have changed it.
    """

    secret: str
    verify: Mapping[str, Any]
    preset: str | None = None
    body: str = _BODIES[0]


class DiagnosisReport(Struct, frozen=True):
    """Matches, best first. `complete` is false if a limit ended the search."""

    matches: tuple[Diagnosis, ...]
    complete: bool


class SchemeFinder(Struct, frozen=True):
    """Search for one source: its scheme and address, and the secrets and public keys of all sources by their path."""

    scheme: SchemeConfig
    secrets: Mapping[str, str]
    public_keys: Mapping[str, str] = {}

    def diagnose(self, delivery: Delivery) -> DiagnosisReport:
        """Return the schemes that verify a delivery."""
        url = getattr(self.scheme, "url", None)
        bodies = (delivery.body, delivery.body.rstrip(b"\r\n"), delivery.body + b"\n")
        matches: dict[tuple[str, str], Diagnosis] = {}
        attempts = hashed = 0
        for change, body in zip(_BODIES, bodies, strict=True):
            if change != _BODIES[0] and body == delivery.body:
                continue
            changed = structs.replace(delivery, body=body)
            for path, secret, preset, scheme in self._candidates(changed, url):
                attempts, hashed = attempts + 1, hashed + len(body)
                if attempts > ATTEMPTS_MAX or hashed > HASHED_BYTES_MAX:
                    return DiagnosisReport(tuple(matches.values()), complete=False)
                if _verifies(scheme, secret, changed):
                    found = Diagnosis(secret=path, verify=_written(scheme), preset=preset, body=change)
                    matches.setdefault((path, repr(found.verify)), found)
                if len(matches) >= MATCHES_MAX:
                    return DiagnosisReport(tuple(matches.values())[:MATCHES_MAX], complete=False)
        return DiagnosisReport(tuple(matches.values()), complete=True)

    def _candidates(self, delivery: Delivery, url: str | None) -> Iterator[tuple[str, str, str | None, Scheme]]:
        """Yield path and text of a secret, preset and scheme. A scheme with a public key contains the key."""
        for path, text in self.public_keys.items():
            for preset, scheme in public_key_schemes(text, self.scheme, delivery, url, _signed_texts(delivery)):
                yield path, "", preset, scheme
        for preset, scheme in self._schemes(delivery, url):
            for path, secret in self.secrets.items():
                yield path, secret, preset, scheme

    def _schemes(self, delivery: Delivery, url: str | None) -> Iterator[tuple[str | None, Scheme]]:
        for each in _variants(self.scheme):
            yield None, each
        for name, scheme in _preset_schemes(url).items():
            yield name, scheme
        for scheme in secret_message_signatures(delivery, url, _REFS):
            yield None, scheme
        for scheme in _guesses(delivery, url):
            yield None, scheme


def _variants(scheme: SchemeConfig) -> Iterator[Scheme]:
    """Yield the configured scheme with other encodings, algorithms and key encodings."""
    if isinstance(scheme, Hmac):
        for encoding in get_args(Encoding):
            for algorithm in get_args(HashAlgorithm):
                for key_encoding in get_args(KeyEncoding):
                    changed = {"encoding": encoding, "algorithm": algorithm, "key_encoding": key_encoding}
                    yield structs.replace(scheme, secrets=_REFS, tolerance_seconds=0, **changed)
    elif isinstance(scheme, StandardWebhooks):
        for key_encoding in get_args(KeyEncoding):
            changed = {"key_encoding": key_encoding, "public_keys": ()}
            yield structs.replace(scheme, secrets=_REFS, tolerance_seconds=0, **changed)


@cache
def _preset_schemes(url: str | None) -> dict[str, Scheme]:
    """Return the schemes of all presets that require nothing but a secret, and the address if there is one."""
    parameters: dict[str, Any] = {"secrets": [{"env": SECRET}], "verify_token": [{"env": SECRET}]}
    parameters |= {"url": url} if url else {}
    schemes: dict[str, Scheme] = {}
    for name in preset_names():
        requires = load_preset(name).requires
        if requires.keys() <= parameters.keys():
            source = expand_preset({"preset": name, **{key: parameters[key] for key in requires}}, "preset")
            scheme: SchemeConfig = msgspec.convert(source["verify"], type=SchemeConfig)  # pyright: ignore[reportArgumentType, reportAssignmentType] - a union
            if isinstance(scheme, Hmac | StandardWebhooks):
                scheme = structs.replace(scheme, tolerance_seconds=0)
            if not isinstance(scheme, PathToken | Unverified):
                schemes[name] = scheme
    return schemes


def _guesses(delivery: Delivery, url: str | None) -> Iterator[Scheme]:
    """Yield HMAC schemes for every header that looks like a signature, with and without a timestamp."""
    texts = _signed_texts(delivery)
    for header, value in delivery.headers.items():
        for place in _signatures(header, value):
            for key_encoding in get_args(KeyEncoding):
                shared: dict[str, Any] = {**place, "key_encoding": key_encoding, "secrets": _REFS, "url": url}
                shared["tolerance_seconds"] = 0
                for signed in texts:
                    yield Hmac(**shared, **signed)


def _signed_texts(delivery: Delivery) -> list[dict[str, Any]]:
    """Return common signed texts, without a time and with each time of the delivery."""
    times = [found for header, value in delivery.headers.items() for found in _times(header, value)]
    without: list[dict[str, Any]] = [{"signed": signed} for signed in _SIGNED]
    return without + [{**time, "signed": signed} for time in times for signed in _SIGNED_WITH_TIME]


def _signatures(header: str, value: str) -> Iterator[dict[str, Any]]:
    separator = ";" if ";" in value else ","
    for part in re.split(r"[;, ]+", value):
        found = _PART.fullmatch(part)
        if found is None:
            continue
        text, place = found["text"], {"header": header, "prefix": found["prefix"] or "", "separator": separator}
        if re.fullmatch(r"[0-9A-Fa-f]+", text) and len(text) // 2 in _ALGORITHMS:
            yield place | {"encoding": "hex", "algorithm": _ALGORITHMS[len(text) // 2]}
        size = len(text.rstrip("=")) * 3 // 4
        if size in _ALGORITHMS:
            encoding = "base64url" if "_" in text or "-" in text else "base64"
            yield place | {"encoding": encoding, "algorithm": _ALGORITHMS[size]}


def _times(header: str, value: str) -> Iterator[dict[str, Any]]:
    for part in [value, *re.split(r"[;,]", value)]:
        found = _TIME.fullmatch(part.strip())
        if found is not None:
            digits = found["text"].isdigit()
            short = len(found["text"]) == 10
            written: TimestampFormat = "date" if not digits else "seconds" if short else "milliseconds"
            named = {"timestamp_prefix": found["prefix"]} if found["prefix"] else {}
            yield {"timestamp_header": header, "timestamp_format": written, **named}


def _verifies(scheme: Scheme, secret: str, delivery: Delivery) -> bool:
    try:
        scheme.build({SECRET: secret}, "verify").verify(delivery)
    except (Rejection, ConfigError):
        return False
    return True


def _written(scheme: Scheme) -> dict[str, Any]:
    """Return a scheme as it is written in waybill.yaml, without defaults and secrets."""
    written: dict[str, Any] = msgspec.to_builtins(scheme)
    defaults = {field.encode_name: field.default for field in structs.fields(type(scheme))}
    hidden = {"secrets", "public_keys", "password", "tolerance_seconds"}
    return {key: value for key, value in written.items() if key not in hidden and value != defaults.get(key, ...)}
