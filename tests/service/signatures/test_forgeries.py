"""Forgery matrix: each way to forge a delivery, over all schemes. No forged delivery is verified."""

import base64
import json
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from msgspec import structs

from service.errors import ConfigError, Rejection
from service.events import Delivery
from service.secrets import SecretRef
from service.signatures import Hmac, HttpMessageSignatures, PublicKeySignature, Scheme
from service.signatures.keys import PUBLIC_KEY_CHARACTERS_MAX, load_public_key
from service.signatures.proofs import CHECKS_MAX
from tests.service.signatures.schemes import (
    BODY,
    BOTH,
    ENVIRON,
    NOW,
    P256,
    P256_PUBLIC,
    PRIVATE,
    PUBLIC,
    RSA,
    RSA_PUBLIC,
    SCHEMES,
    UNSIGNED,
    URL,
    credentials,
    sent,
    with_credential,
)

SIGNED = sorted(SCHEMES.keys() - UNSIGNED)


def rejection(scheme: Scheme, delivery: Delivery) -> str | None:
    """Return the code of the rejection, or None for a verified delivery."""
    try:
        scheme.build(ENVIRON, "verify").verify(delivery)
    except Rejection as caught:
        return caught.code if caught.status == 401 else f"status {caught.status}"
    return None


def forge(text: str) -> Iterator[str]:
    """Yield forged forms of a credential."""
    yield from ("", " ", ",", ";", "=", "null", "None", "0", "*", "a" * 8_192)
    yield from (text[:-1], text[1:], text[: len(text) // 2], text[:4], text[:1])
    yield from (text + "0", text + text, "0" + text, text + "\x00", text[::-1])
    yield "".join(chr(0x0660 + int(character)) if character.isdigit() else character for character in text)
    yield "".join(chr(ord(character) + 0xFEE0) if character.isalnum() else character for character in text)


@pytest.mark.parametrize("name", SCHEMES)
def test_forged_credential_is_rejected(name: str) -> None:
    delivery, scheme = sent(name), SCHEMES[name][0]
    assert rejection(scheme, delivery) is None
    for place, text in credentials(delivery).items():
        for forged in forge(text):
            if forged not in {text, text + text}:
                found = rejection(scheme, with_credential(delivery, place, forged))
                assert found in {"not_verified", "stale_timestamp"}, (place, forged)


@pytest.mark.parametrize("name", SIGNED)
def test_credentials_of_another_delivery_are_rejected(name: str) -> None:
    scheme, other = SCHEMES[name][0], sent(name, b'{"id": "evt_2"}')
    assert rejection(scheme, structs.replace(other, body=BODY)) == "not_verified"


@pytest.mark.parametrize("name", [name for name in SIGNED if {"id", "timestamp"} <= SCHEMES[name][0].signed_parts])
def test_bytes_moved_over_a_separator_are_rejected_or_reported(name: str) -> None:
    scheme, secret = SCHEMES[name]
    delivery = scheme.sign_delivery(Delivery("source", {}, b"b.c", NOW), secret, "a.b")
    id_name = next(header for header, value in delivery.headers.items() if value == "a.b")
    verifier = scheme.build(ENVIRON, "verify")
    assert verifier.verify(delivery).movable
    for moved_id, body in (("a", b"b.b.c"), ("a.b.b", b"c"), ("a.", b"b.c"), ("a.b", b".b.c")):
        moved = structs.replace(with_credential(delivery, id_name, moved_id), body=body)
        assert rejection(scheme, moved) == "not_verified"


@pytest.mark.parametrize("name", [name for name in SCHEMES if name.startswith(("http", "public_key"))])
def test_signature_of_another_key_is_rejected(name: str) -> None:
    scheme, secret = SCHEMES[name]
    others = {PRIVATE: new_ed25519(), RSA: pem(rsa.generate_private_key(65537, 2048)), P256: new_p256()}
    forged = scheme.sign_delivery(Delivery("source", {}, BODY, NOW), others.get(secret, "another secret"), "msg_1")
    assert rejection(scheme, forged) == "not_verified"


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def new_p256() -> str:
    return pem(ec.generate_private_key(ec.SECP256R1()))


def new_ed25519() -> str:
    return "whsk_" + base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode()


# RFC 9421

HTTP = HttpMessageSignatures(
    algorithm="ed25519", components=("@method", "content-digest"), url=URL, public_keys=(PUBLIC,)
)


def http(scheme: HttpMessageSignatures = HTTP, secret: str = PRIVATE, **headers: str) -> Delivery:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return scheme.sign_delivery(Delivery("source", given, BODY, NOW), secret, "msg_1")


def test_public_key_is_not_accepted_as_an_hmac_secret() -> None:
    keyed = HttpMessageSignatures(
        algorithm="hmac-sha256", components=HTTP.components, url=URL, secrets=(SecretRef(env="A"),)
    )
    forged = http(keyed, PUBLIC)
    assert rejection(HTTP, forged) == "not_verified"
    silent = forged.headers["signature-input"].replace(';alg="hmac-sha256"', "")
    assert rejection(HTTP, with_credential(forged, "signature-input", silent)) == "not_verified"


@pytest.mark.parametrize("algorithm", ["hmac-sha256", "rsa-v1_5-sha256", "none", "ED25519", ""])
def test_other_algorithm_in_the_delivery_is_rejected(algorithm: str) -> None:
    delivery = http()
    given = delivery.headers["signature-input"].replace("ed25519", algorithm)
    assert rejection(HTTP, with_credential(delivery, "signature-input", given)) == "not_verified"


def test_required_components_must_be_signed() -> None:
    less = structs.replace(HTTP, components=("@method",))
    assert rejection(HTTP, http(less)) == "not_verified"
    assert rejection(less, http(less)) is None
    assert "body is not verified" in less.warnings(ENVIRON)[0]


@pytest.mark.parametrize(
    "given",
    [
        'sig1=("@method" "@method" "content-digest");created=1700000000',
        'sig1=("@method" "content-digest";req);created=1700000000',
        'sig1=("@method" "content-digest" "@status");created=1700000000',
        'sig1=("@method" "content-digest" "x-missing");created=1700000000',
        'sig1=("@method" "content-digest");created=1700000000;created=1700000000',
        'sig1=("@method" "content-digest");created="1700000000"',
        'sig1=("@method" "content-digest")',
        'sig1=("@method" "content-digest");created=1700000000, sig1=("@method" "content-digest");created=1700000000',
        'sig1="content-digest"',
        "sig1=()",
        "sig1",
        'sig1=("' + '" "'.join(["x"] * 40) + '")',
    ],
)
def test_malformed_signature_input_is_rejected(given: str) -> None:
    assert rejection(HTTP, with_credential(http(), "signature-input", given)) == "not_verified"


@pytest.mark.parametrize(
    "digest",
    [
        "",
        "sha-256=:AAAA:",
        "md5=:1B2M2Y8AsgTpgAmY7PhCfg==:",
        "sha-256",
        "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
    ],
)
def test_signed_digest_of_another_body_is_rejected(digest: str) -> None:
    scheme = structs.replace(HTTP, components=("@method", "x-digest"))
    delivery = http(scheme, x_digest=digest)
    renamed = {name.replace("x-digest", "content-digest"): value for name, value in delivery.headers.items()}
    renamed["signature-input"] = delivery.headers["signature-input"].replace("x-digest", "content-digest")
    assert rejection(HTTP, structs.replace(delivery, headers=renamed)) == "not_verified"


def test_signed_times_are_checked() -> None:
    assert rejection(HTTP, structs.replace(http(), received_at=NOW + 301)) == "stale_timestamp"
    expired = structs.replace(HTTP, tolerance_seconds=0, label="sig1")
    delivery = http(expired)
    assert rejection(expired, structs.replace(delivery, received_at=NOW + 10**6)) is None


def test_label_and_tag_select_the_signature() -> None:
    tagged = structs.replace(HTTP, tag="shop")
    assert rejection(tagged, http(tagged)) is None
    assert rejection(tagged, http()) == "not_verified"
    assert rejection(structs.replace(HTTP, label="other"), http()) == "not_verified"
    second = http(structs.replace(HTTP, label="other"))
    both = {
        name: f"{http().headers[name]}, {second.headers[name]}" if name.startswith("signature") else value
        for name, value in second.headers.items()
    }
    assert rejection(HTTP, structs.replace(second, headers=both)) is None


def test_published_vectors_of_rfc_9421_are_verified() -> None:
    body, at, made = b'{"hello": "world"}', 1_618_884_473.0, ";created=1618884473"
    key = "test-key-ed25519"
    shared = {
        "date": "Tue, 20 Apr 2021 02:07:55 GMT",
        "content-type": "application/json",
        "content-length": "18",
    }
    digest = "WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew=="
    shared["content-digest"] = f"sha-512=:{digest}:"
    ed25519 = HttpMessageSignatures(
        algorithm="ed25519",
        components=("date", "@path"),
        url="https://example.com/foo",
        public_keys=("MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=",),
    )
    keyed = HttpMessageSignatures(
        algorithm="hmac-sha256",
        components=("@authority",),
        url="https://example.com/foo",
        secrets=(SecretRef(env="S"),),
        key_encoding="base64",
    )
    secret = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="
    for scheme, given, signature in (
        (
            ed25519,
            f'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length"){made};keyid="{key}"',
            "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
        ),
        (
            keyed,
            f'sig-b25=("date" "@authority" "content-type"){made};keyid="test-shared-secret"',
            "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:",
        ),
    ):
        headers = shared | {"signature-input": given, "signature": signature}
        delivery = Delivery("source", headers, body, at, query="param=Value&Pet=dog")
        assert scheme.build({"S": secret}, "verify").verify(delivery).signed == body


# Keys


def test_keys_are_read_in_every_form() -> None:
    key = Ed25519PrivateKey.generate().public_key()
    raw, der = key.public_bytes_raw(), key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(raw).decode().rstrip("=")}
    forms = [raw.hex(), base64.b64encode(raw).decode(), base64.b64encode(der).decode(), json.dumps(jwk)]
    for text in forms:
        assert load_public_key(text, "at") == key
    assert load_public_key(RSA_PUBLIC.replace("\n", ""), "at") == load_public_key(RSA_PUBLIC, "at")
    point = load_public_key(P256_PUBLIC, "at")
    assert isinstance(point, ec.EllipticCurvePublicKey)
    x, y = (
        base64.urlsafe_b64encode(number.to_bytes(32)).decode()
        for number in (point.public_numbers().x, point.public_numbers().y)
    )
    assert load_public_key(json.dumps({"kty": "EC", "crv": "P-256", "x": x, "y": y}), "at") == point


def public_pem(key: PublicKeyTypes) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"kty": "oct", "k": "AAAA"}',
        '{"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"}',
        "-----BEGIN PUBLIC KEY-----",
        "not a key",
        "0" * 63 + "x",
        "A" * (PUBLIC_KEY_CHARACTERS_MAX + 1),
        pytest.param(public_pem(rsa.RSAPublicNumbers(65537, (1 << 8_200) + 1).public_key()), id="oversized"),
        pytest.param(public_pem(X25519PrivateKey.generate().public_key()), id="x25519"),
        pytest.param(public_pem(ec.generate_private_key(ec.SECP256K1()).public_key()), id="secp256k1"),
    ],
)
def test_unusable_public_key_is_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError):
        load_public_key(text, "verify.public_keys[0]")


def test_key_of_another_algorithm_is_a_config_error() -> None:
    for scheme in (
        PublicKeySignature(header="X", algorithm="rsa_sha256", public_keys=(PUBLIC,)),
        HttpMessageSignatures(algorithm="ecdsa-p384-sha384", public_keys=(P256_PUBLIC,)),
        HttpMessageSignatures(algorithm="ed25519", public_keys=()),
        HttpMessageSignatures(algorithm="hmac-sha256", secrets=BOTH, public_keys=(PUBLIC,)),
        HttpMessageSignatures(algorithm="ed25519", public_keys=(PUBLIC,), id_header="X-Id"),
        PublicKeySignature(header="X", algorithm="ed25519", public_keys=()),
    ):
        with pytest.raises(ConfigError):
            scheme.build(ENVIRON, "verify")


def test_number_of_public_key_checks_is_limited() -> None:
    scheme, delivery = SCHEMES["public_key rsa"][0], sent("public_key rsa")
    good, wrong = delivery.headers["x-signature"], base64.b64encode(bytes(256)).decode()
    for before, code in ((CHECKS_MAX - 1, None), (CHECKS_MAX, "not_verified")):
        assert rejection(scheme, with_credential(delivery, "x-signature", f"{wrong}," * before + good)) == code


# Signatures and signed values inside the body

BODIES = {
    "pointer": (
        Hmac(pointer="/HashCode", signed="{bytes:/Content}", secrets=BOTH),
        b'{"Content":{"Key":"1"},"HashCode":""}',
        (b'{"Content":{"Key":"2"}', b'{"Content":{"Key": "1"}', b'{"Content":{"Key":"1"},"Content":{"Key":"1"}'),
    ),
    "values": (
        Hmac(
            pointer="/signature/signature",
            signed="{timestamp}{value:/signature/token}",
            timestamp_pointer="/signature/timestamp",
            secrets=BOTH,
        ),
        b'{"signature":{"timestamp":"1700000000","token":"t","signature":""}}',
        (b'{"signature":{"timestamp":"1700000001"', b'{"signature":{"timestamp":""', b'[{"signature":{"timestamp":""'),
    ),
    "form": (
        Hmac(header="X-Signature", encoding="base64", signed="{url}{sorted_form}", url=URL, secrets=BOTH),
        b"b=2&a=1&a=0",
        (b"b=2&a=1", b"b=2&a=1&a=0&c=", b"b=2&a=1&a=%ff"),
    ),
    "form field": (Hmac(form="sig", signed="{form:a}.{query:q}", secrets=BOTH), b"a=1", (b"a=2", b"a=1&a=1", b"x=1")),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_forged_body_is_rejected(name: str) -> None:
    scheme, body, forgeries = BODIES[name]
    delivery = scheme.sign_delivery(Delivery("source", {}, body, NOW, query="q=5"), ENVIRON["A"], "")
    assert rejection(scheme, delivery) is None
    for forged in forgeries:
        tail = delivery.body[len(forged) :] if name != "form" else b""
        for changed in (forged + tail, forged + delivery.body[len(body.partition(b',"')[0]) :]):
            assert rejection(scheme, structs.replace(delivery, body=changed)) == "not_verified", changed
    for garbage in (b"", b"\xff", b"{", b"[" * 5_000, b"null", b'{"a":1}'):
        assert rejection(scheme, structs.replace(delivery, body=garbage)) == "not_verified"


def test_published_vectors_of_senders_are_verified() -> None:
    adyen = "/notificationItems/0/NotificationRequestItem"
    names = ("pspReference", "originalReference", "merchantAccountCode", "merchantReference")
    rest = ("amount/value", "amount/currency", "eventCode", "success")
    scheme = Hmac(
        pointer=f"{adyen}/additionalData/hmacSignature",
        encoding="base64",
        key_encoding="hex",
        signed=":".join(f"{{value:{adyen}/{name}}}" for name in (*names, *rest)),
        secrets=(SecretRef(env="S"),),
    )
    item = {
        "pspReference": "7914073381342284",
        "merchantAccountCode": "TestMerchant",
        "merchantReference": "TestPayment-1407325143704",
        "amount": {"value": 1130, "currency": "EUR"},
        "eventCode": "AUTHORISATION",
        "success": "true",
        "additionalData": {"hmacSignature": "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="},
    }
    body = json.dumps({"notificationItems": [{"NotificationRequestItem": item}]}).encode()
    secret = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
    assert scheme.build({"S": secret}, "verify").verify(Delivery("source", {}, body, NOW))
    assert "not verified" in scheme.warnings({"S": secret})[0]
    twilio = Hmac(
        header="X-Twilio-Signature",
        algorithm="sha1",
        encoding="base64",
        signed="{url}{sorted_form}",
        url="https://mycompany.com/myapp.php?foo=1&bar=2",
        secrets=(SecretRef(env="S"),),
    )
    form = b"Digits=1234&Caller=%2B14158675309&To=%2B18005551212&CallSid=CA1234567890ABCDE&From=%2B14158675309"
    headers = {"x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="}
    assert twilio.build({"S": "12345"}, "verify").verify(Delivery("source", headers, form, NOW))
