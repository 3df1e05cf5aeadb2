"""Schemes with a public key, and HTTP message signatures, that a rejected delivery may have been signed by. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Any, get_args

import msgspec
from msgspec import structs

from service.config.presets import expand_preset, load_preset, preset_names
from service.errors import ConfigError
from service.events import Delivery
from service.secrets import SecretRef
from service.signatures import HttpMessageSignatures, PublicKeySignature, Scheme, SchemeConfig, StandardWebhooks
from service.signatures.http_message_signatures import PUBLIC_ALGORITHMS, Algorithm
from service.signatures.keys import PUBLIC_PREFIX, KeyEncoding, load_public_key
from service.signatures.proofs import Encoding, PublicKeyAlgorithm, fits
from service.signatures.structured_fields import parse_dictionary, parse_inner_list

Place = Mapping[str, Any]
"""Fields of a scheme."""

_PART = re.compile(r"(?P<prefix>[A-Za-z0-9_-]{1,20}[=,])?(?P<text>[A-Za-z0-9+/_-]{80,1400}={0,2})")


def public_key_schemes(
    text: str, configured: SchemeConfig, delivery: Delivery, url: str | None, signed_texts: Iterable[Place]
) -> Iterator[tuple[str | None, Scheme]]:
    """Yield schemes with a public key, each with its preset. `signed_texts` are common signed texts with their time."""
    try:
        key = load_public_key(text, "")
    except ConfigError:
        return
    algorithms = [each for each in get_args(PublicKeyAlgorithm) if fits(key, each)]
    shared: Place = {"public_keys": (text,), "tolerance_seconds": 0}
    if isinstance(configured, PublicKeySignature):
        for algorithm, encoding in product(algorithms, get_args(Encoding)):
            yield None, structs.replace(configured, algorithm=algorithm, encoding=encoding, **shared)
    if text.startswith(PUBLIC_PREFIX):
        yield "standard-webhooks", StandardWebhooks(**shared)
    yield from _presets(text, url, shared)
    registered: list[Algorithm] = [name for name, algorithm in PUBLIC_ALGORITHMS.items() if algorithm in algorithms]
    for name, scheme in product(registered, _message_signatures(delivery, url)):
        yield None, HttpMessageSignatures(algorithm=name, **scheme, **shared)
    places = [each for header, value in delivery.headers.items() for each in _signatures(header, value)]
    for algorithm, place, signed in product(algorithms, places, signed_texts):
        yield None, PublicKeySignature(algorithm=algorithm, url=url, **place, **signed, **shared)


def secret_message_signatures(delivery: Delivery, url: str | None, refs: tuple[SecretRef, ...]) -> Iterator[Scheme]:
    """Yield HTTP message signatures with a secret, for each signature of the delivery."""
    for scheme in _message_signatures(delivery, url):
        for encoding in get_args(KeyEncoding):
            yield HttpMessageSignatures(
                algorithm="hmac-sha256", secrets=refs, key_encoding=encoding, tolerance_seconds=0, **scheme
            )


def _presets(text: str, url: str | None, shared: Place) -> Iterator[tuple[str, Scheme]]:
    # Of the source only `verify` is used, so the other parameters have no effect.
    parameters: dict[str, Any] = {"public_keys": [text], "secrets": [], "verify_token": []}
    parameters |= {"url": url} if url else {}
    for name in preset_names():
        requires = load_preset(name).requires
        if "public_keys" in requires and requires.keys() <= parameters.keys():
            source = expand_preset({"preset": name, **{key: parameters[key] for key in requires}}, "preset")
            scheme: SchemeConfig = msgspec.convert(source["verify"], type=SchemeConfig)  # pyright: ignore[reportArgumentType, reportAssignmentType] - a union
            yield name, structs.replace(scheme, **shared)


def _message_signatures(delivery: Delivery, url: str | None) -> Iterator[Place]:
    """Yield label and components of each signature of the delivery (RFC 9421)."""
    try:
        inputs = parse_dictionary(delivery.headers.get("signature-input", ""))
        for label, given in inputs.items():
            components = tuple([name for name, own in parse_inner_list(given)[0] if not own])
            if components:
                yield {"label": label, "components": components, "url": url}
    except ValueError:
        return


def _signatures(header: str, value: str) -> Iterator[Place]:
    for part in re.split(r"[;, ]+", value):
        if found := _PART.fullmatch(part):
            is_hex = re.fullmatch(r"[0-9A-Fa-f]+", found["text"]) is not None
            encoding = "hex" if is_hex else "base64url" if re.search("[_-]", found["text"]) else "base64"
            separator = ";" if ";" in value else ","
            yield {"header": header, "prefix": found["prefix"] or "", "separator": separator, "encoding": encoding}
