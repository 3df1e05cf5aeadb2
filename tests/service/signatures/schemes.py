"""Table of signature schemes with a test sender each, shared by the tests of schemes."""

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from msgspec import convert, structs, to_builtins

from service.config.presets import expand_preset
from service.events import Delivery
from service.secrets import SecretRef
from service.signatures import (
    Basic,
    Bearer,
    Header,
    Hmac,
    HttpMessageSignatures,
    PathToken,
    PublicKeySignature,
    Scheme,
    SchemeConfig,
    StandardWebhooks,
)

NOW = 1_700_000_000
BODY = b'{"id": "evt_1", "type": "order.updated"}'
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
HEX = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
ENVIRON = {"A": "first-secret-of-the-sender", "B": "second-secret-of-the-sender", "W": WHSEC, "H": HEX}
BOTH = (SecretRef(env="A"), SecretRef(env="B"))
WEBHOOKS = (SecretRef(env="W"),)
HEX_KEY = (SecretRef(env="H"),)
URL = "https://hooks.example.com/webhooks/source"


def key_pair(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> tuple[str, str]:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return private, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


RSA, RSA_PUBLIC = key_pair(rsa.generate_private_key(65537, 2048))
P256, P256_PUBLIC = key_pair(ec.generate_private_key(ec.SECP256R1()))


def preset_scheme(name: str, secrets: tuple[SecretRef, ...]) -> SchemeConfig:
    """Return the scheme of a preset."""
    source = expand_preset({"preset": name, "secrets": to_builtins(secrets)}, "sources.s")
    return convert(source["verify"], SchemeConfig)  # pyright: ignore[reportArgumentType, reportReturnType] - a union


SCHEMES: dict[str, tuple[Scheme, str]] = {
    "hmac": (Hmac(header="X-Signature", secrets=BOTH), ENVIRON["B"]),
    "hmac, everything set": (
        Hmac(
            header="X-Signature",
            algorithm="sha512",
            encoding="base64",
            prefix="v0=",
            signed="{id}.{timestamp}.{body}",
            id_header="X-Id",
            timestamp_header="X-Time",
            timestamp_prefix="t=",
            secrets=BOTH,
        ),
        ENVIRON["B"],
    ),
    "hmac in a query": (Hmac(query="signature", algorithm="sha384", encoding="base64url", secrets=BOTH), ENVIRON["A"]),
    "hmac, hex key": (Hmac(header="X-Signature", encoding="base64", key_encoding="hex", secrets=HEX_KEY), HEX),
    "hmac of address and milliseconds": (
        Hmac(
            header="X-Signature",
            encoding="base64",
            signed="{method}{url}{body}{timestamp}",
            url=URL,
            timestamp_header="X-Time",
            timestamp_format="milliseconds",
            secrets=BOTH,
        ),
        ENVIRON["B"],
    ),
    "hmac with semicolons": (
        Hmac(
            header="X-Signature",
            prefix="h1=",
            separator=";",
            signed="{timestamp}:{body}",
            timestamp_header="X-Signature",
            timestamp_prefix="ts=",
            secrets=BOTH,
        ),
        ENVIRON["B"],
    ),
    "hmac of date and header": (
        Hmac(
            header="X-Signature",
            signed="{timestamp}|{header:x-topic}|{body}",
            timestamp_header="X-Time",
            timestamp_format="date",
            secrets=BOTH,
        ),
        ENVIRON["B"],
    ),
    "public_key ed25519": (
        PublicKeySignature(
            header="X-Signature",
            signed="{timestamp}{body}",
            timestamp_header="X-Time",
            algorithm="ed25519",
            public_keys=(PUBLIC,),
        ),
        PRIVATE,
    ),
    "public_key rsa": (
        PublicKeySignature(header="X-Signature", encoding="base64", algorithm="rsa_sha256", public_keys=(RSA_PUBLIC,)),
        RSA,
    ),
    "public_key rsa_pss": (
        PublicKeySignature(
            header="X-Signature", encoding="base64", algorithm="rsa_pss_sha512", public_keys=(RSA_PUBLIC,)
        ),
        RSA,
    ),
    "public_key ecdsa in a member": (
        PublicKeySignature(
            header="X-Signature",
            member="signature",
            encoding="base64",
            algorithm="ecdsa_sha1",
            public_keys=(P256_PUBLIC,),
        ),
        P256,
    ),
    "http_message_signatures": (
        HttpMessageSignatures(
            algorithm="ed25519",
            components=("@method", "@target-uri", "content-digest", "x-id"),
            url=URL,
            id_header="X-Id",
            public_keys=(PUBLIC,),
        ),
        PRIVATE,
    ),
    "http_message_signatures, hmac": (HttpMessageSignatures(algorithm="hmac-sha256", secrets=BOTH), ENVIRON["B"]),
    "standard_webhooks": (StandardWebhooks(secrets=WEBHOOKS), WHSEC),
    "standard_webhooks v1a": (StandardWebhooks(public_keys=(PUBLIC,)), PRIVATE),
    "standard_webhooks, both": (StandardWebhooks(secrets=WEBHOOKS, public_keys=(PUBLIC,)), PRIVATE),
    "github": (preset_scheme("github", BOTH), ENVIRON["B"]),
    "shopify": (preset_scheme("shopify", BOTH), ENVIRON["A"]),
    "slack": (preset_scheme("slack", BOTH), ENVIRON["B"]),
    "stripe": (preset_scheme("stripe", BOTH), ENVIRON["A"]),
    "svix": (preset_scheme("svix", WEBHOOKS), WHSEC),
    "basic": (Basic(username="till", password=BOTH), ENVIRON["B"]),
    "bearer": (Bearer(secrets=BOTH), ENVIRON["B"]),
    "header": (Header(header="X-Gitlab-Token", secrets=BOTH), ENVIRON["B"]),
    "path_token": (PathToken(secrets=BOTH), ENVIRON["B"]),
}
UNSIGNED = {"basic", "bearer", "header", "path_token"}
"""Schemes that authenticate the sender but do not sign the body."""


def sent(name: str, body: bytes = BODY, secret: str | None = None, at: int = NOW) -> Delivery:
    scheme, own = SCHEMES[name]
    return scheme.sign_delivery(Delivery("source", {}, body, at), own if secret is None else secret, "msg_1")


def credentials(delivery: Delivery) -> dict[str, str]:
    """Return the credentials of a delivery by their place: headers, `?query` and `/path`."""
    others = {"?query": delivery.query, "/path": delivery.path_token or ""}
    return dict(delivery.headers) | {place: text for place, text in others.items() if text}


def with_credential(delivery: Delivery, place: str, text: str) -> Delivery:
    if place == "?query":
        return structs.replace(delivery, query=text)
    if place == "/path":
        return structs.replace(delivery, path_token=text)
    return structs.replace(delivery, headers={**delivery.headers, place: text})
