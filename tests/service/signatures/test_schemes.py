"""Properties of all schemes: a signed delivery is verified; a changed bit of body, header, URL or secret is not."""

import binascii
from collections.abc import Mapping
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ConfigError, Rejection
from service.events import Delivery
from service.signatures import Hmac, Scheme, SchemeConfig, Unverified, Verified
from service.signatures.proofs import CHECKS_MAX
from tests.service.signatures.schemes import (
    BODY,
    BOTH,
    ENVIRON,
    NOW,
    PRIVATE,
    PUBLIC,
    SCHEMES,
    UNSIGNED,
    WHSEC,
    credentials,
    preset_scheme,
    sent,
    with_credential,
)


def verify(name: str, delivery: Delivery) -> Verified:
    return SCHEMES[name][0].build(ENVIRON, "verify").verify(delivery)


def reject(name: str, delivery: Delivery) -> str:
    with pytest.raises(Rejection) as caught:
        verify(name, delivery)
    assert caught.value.status == 401
    return caught.value.code


def flip(text: bytes, data: st.DataObject) -> bytes:
    bit = data.draw(st.integers(0, len(text) * 8 - 1))
    changed = bytearray(text)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


HEX = {
    "hmac", "github", "slack", "stripe", "hmac with semicolons", "hmac of date and header", "public_key ed25519",
}  # fmt: skip


def read_the_same(name: str, before: str, after: str) -> bool:
    """Return whether a header only changed without meaning: the case of hex and scheme names, blanks around."""
    if name in HEX:
        return before.lower() == after.lower().strip(" ,;")
    if name in {"basic", "bearer"}:
        scheme, _, rest = after.partition(" ")
        return before.partition(" ")[2] == rest.strip(" ") and before.partition(" ")[0].lower() == scheme.lower()
    return before == after.strip(" ,")


def test_every_scheme_is_covered_by_these_tests() -> None:
    assert {type(scheme) for scheme, _ in SCHEMES.values()} | {Unverified} == set(get_args(SchemeConfig))


@pytest.mark.parametrize("name", SCHEMES)
def test_delivery_without_credentials_is_rejected(name: str) -> None:
    assert reject(name, Delivery("source", {}, BODY, NOW)) == "not_verified"
    assert reject(name, Delivery("source", {}, BODY, NOW, path_token="")) == "not_verified"


@pytest.mark.parametrize("name", SCHEMES)
def test_every_header_of_the_sender_is_required(name: str) -> None:
    delivery = sent(name)
    for missing in delivery.headers:
        without = {key: value for key, value in delivery.headers.items() if key != missing}
        for headers in (without, without | {missing: ""}):
            assert reject(name, msgspec.structs.replace(delivery, headers=headers)) == "not_verified"


@pytest.mark.parametrize("name", SCHEMES)
def test_non_ascii_credentials_are_rejected(name: str) -> None:
    delivery = sent(name)
    for garbage in ("é", "\udcff", "ÿ" * 300, "Basic é", "Bearer \xff", "v1,é", "v1a,é", "t=é,v1=é"):
        for header in delivery.headers:
            headers = {**delivery.headers, header: garbage}
            assert reject(name, msgspec.structs.replace(delivery, headers=headers)) == "not_verified", garbage
        assert reject(name, Delivery("source", {}, BODY, NOW, path_token=garbage)) == "not_verified", garbage


@pytest.mark.parametrize("name", SCHEMES)
def test_every_active_secret_is_accepted(name: str) -> None:
    scheme, _ = SCHEMES[name]
    for ref in scheme.refs:
        assert verify(name, sent(name, secret=ref.resolve(ENVIRON))).signed.count(BODY) == 1


@pytest.mark.parametrize("name", sorted(SCHEMES.keys() - UNSIGNED))
def test_signed_parts_match_the_verified_parts(name: str) -> None:
    scheme, verified = SCHEMES[name][0], verify(name, sent(name))
    assert "body" in scheme.signed_parts
    assert (verified.id == "msg_1") == ("id" in scheme.signed_parts)
    timed = str(NOW).encode() in verified.signed or b"2023-11-14T22:13:20Z" in verified.signed
    assert timed == ("timestamp" in scheme.signed_parts)


@pytest.mark.parametrize("name", sorted(UNSIGNED))
def test_scheme_without_signature_has_no_signed_parts(name: str) -> None:
    assert SCHEMES[name][0].signed_parts == frozenset()
    assert verify(name, sent(name)) == Verified(None, BODY)


@pytest.mark.parametrize("name", [name for name in SCHEMES if "timestamp" in SCHEMES[name][0].signed_parts])
def test_timestamp_tolerance_applies_to_past_and_future(name: str) -> None:
    for offset in (-300, 300):
        assert verify(name, msgspec.structs.replace(sent(name), received_at=NOW + offset))
    for offset in (-301, 301, 10**12):
        assert reject(name, msgspec.structs.replace(sent(name), received_at=NOW + offset)) == "stale_timestamp"


@given(name=st.sampled_from(sorted(SCHEMES)), body=st.binary(max_size=200), data=st.data())
def test_signed_delivery_is_verified_and_any_flipped_bit_is_rejected(
    name: str, body: bytes, data: st.DataObject
) -> None:
    delivery = sent(name, body)
    assert body in verify(name, delivery).signed
    given = credentials(delivery)
    place = data.draw(st.sampled_from(sorted(given)))
    flipped = flip(given[place].encode(), data).decode("latin-1")
    if not read_the_same(name, given[place], flipped):
        assert reject(name, with_credential(delivery, place, flipped)) == "not_verified"
    if body and name not in UNSIGNED:
        assert reject(name, msgspec.structs.replace(delivery, body=flip(body, data))) == "not_verified"


@given(name=st.sampled_from(sorted(SCHEMES)), data=st.data())
def test_flipped_bit_of_the_secret_is_rejected(name: str, data: st.DataObject) -> None:
    secret = SCHEMES[name][1]
    if secret.startswith("-----"):
        return  # some parts of a key file are not used for signatures
    # A private key is followed by its public key. The last characters of base64 have unused bits.
    half = 47 if secret == PRIVATE else len(secret) - 4
    flipped = flip(secret[:half].encode(), data).decode("latin-1") + secret[half:]
    if flipped.lower() == secret.lower() and name == "hmac, hex key":
        return
    try:
        delivery = sent(name, secret=flipped)
    except ConfigError:
        return
    assert reject(name, delivery) == "not_verified"


@given(
    name=st.sampled_from(sorted(SCHEMES)),
    values=st.dictionaries(
        st.sampled_from([
            "x-signature", "x-id", "x-time", "webhook-id", "webhook-timestamp", "webhook-signature", "authorization",
            "x-hub-signature-256", "x-shopify-hmac-sha256", "x-slack-signature", "x-slack-request-timestamp",
            "stripe-signature", "signature", "signature-input", "content-digest",
            "svix-id", "svix-timestamp", "svix-signature", "x-gitlab-token",
        ]),
        st.text(max_size=60)
        | st.sampled_from([
            'sig1=("content-digest");created=1700000000', "sig1=:AAAA:", "sig1=:AA", "sha-256=:AA=:", "sig1=(",
            "1700000000", "msg_1", "v1,", "v1a,AAAA", "v0=", "Basic ", "t=1700000000,v1=", "t=1,t=1",
        ]),
    ),
    token=st.none() | st.text(max_size=40),
)  # fmt: skip
def test_random_headers_raise_only_rejections(name: str, values: dict[str, str], token: str | None) -> None:
    assert reject(name, Delivery("source", values, BODY, NOW, path_token=token)) == "not_verified"


def stripe(header: str) -> Delivery:
    return Delivery("source", {"stripe-signature": header}, BODY, NOW)


def test_stripe_header_accepts_any_order_and_unknown_parts() -> None:
    moment, good = sent("stripe").headers["stripe-signature"].split(",")
    other = f"v1={'0' * 64}"
    for parts in ([good, moment], [moment, other, good], [moment, good, other], ["v0=x", good, "x", moment, "v2=y"]):
        assert verify("stripe", stripe(",".join(parts))).id is None
        assert verify("stripe", stripe(", ".join(parts))).signed == b"1700000000." + BODY
    for parts in ([moment, good.replace("v1", "v0")], [good], [moment], [moment, moment, good], ["t=", good], [other]):
        assert reject("stripe", stripe(",".join(parts))) == "not_verified"


@pytest.mark.parametrize("moment", ["Infinity", "1e9", "-1700000000", "9" * 20, "1700000000.0", "", "NaN", "0x1"])
def test_malformed_timestamp_in_stripe_header_is_rejected(moment: str) -> None:
    scheme = preset_scheme("stripe", BOTH)
    signed = Hmac(header="H", signed="{timestamp}.{body}", timestamp_header="T", secrets=BOTH)
    signature = signed.sign(moment.encode() + b"." + BODY, ENVIRON["A"], "", 0)["h"]
    with pytest.raises(Rejection, match="not_verified"):
        scheme.build(ENVIRON, "verify").verify(stripe(f"t={moment},v1={signature}"))


def test_one_valid_signature_of_v1_or_v1a_is_sufficient() -> None:
    both, at = SCHEMES["standard_webhooks, both"][0], NOW
    first = both.sign(BODY, WHSEC, "msg_1", at)
    second = both.sign(BODY, PRIVATE, "msg_1", at)
    for texts in (
        [first["webhook-signature"], "v1a,AAAA"],
        ["v1,AAAA", second["webhook-signature"]],
        ["v2,x", second["webhook-signature"], "v1a,é"[:4]],
    ):
        headers = first | {"webhook-signature": " ".join(texts)}
        assert verify("standard_webhooks, both", Delivery("source", headers, BODY, at)).id == "msg_1"
    assert reject("standard_webhooks", sent("standard_webhooks v1a")) == "not_verified"
    assert reject("standard_webhooks v1a", sent("standard_webhooks")) == "not_verified"


def test_number_of_verified_ed25519_signatures_is_limited() -> None:
    delivery = sent("standard_webhooks v1a")
    good = delivery.headers["webhook-signature"]
    wrong = "v1a," + binascii.b2a_base64(b"\0" * 64, newline=False).decode()
    for before, taken in ((CHECKS_MAX - 1, True), (CHECKS_MAX, False)):
        headers = {**delivery.headers, "webhook-signature": f"{wrong} " * before + good}
        flooded = msgspec.structs.replace(delivery, headers=headers)
        assert verify("standard_webhooks v1a", flooded) if taken else reject("standard_webhooks v1a", flooded)


def test_ed25519_signature_requires_canonical_base64() -> None:
    delivery = sent("standard_webhooks v1a")
    good = delivery.headers["webhook-signature"]
    assert good.endswith("==")
    for text in (good.removesuffix("=="), good[:-3] + "h==", good + "=", good.replace("/", "_") + " "):
        if text.strip() != good:
            headers = {**delivery.headers, "webhook-signature": text}
            assert reject("standard_webhooks v1a", msgspec.structs.replace(delivery, headers=headers))


CONTRADICTIONS: list[tuple[dict[str, Any], Mapping[str, str], str]] = [
    ({"scheme": "standard_webhooks"}, {}, "verify.secrets"),
    ({"scheme": "standard_webhooks", "secrets": [{"env": "S"}]}, {"S": PUBLIC}, "verify.secrets[0]"),
    ({"scheme": "standard_webhooks", "public_keys": ["whpk_" + "A" * 42 + "B"]}, {}, "verify.public_keys[0]"),
    ({"scheme": "bearer", "secrets": [{"env": "S"}]}, {"S": "schlüssel"}, "verify.secrets[0]"),
    ({"scheme": "header", "header": "X", "secrets": [{"env": "S"}]}, {"S": " padded"}, "verify.secrets[0]"),
    ({"scheme": "header", "header": "X", "secrets": [{"env": "S"}]}, {"S": "a\nb"}, "verify.secrets[0]"),
    ({"scheme": "path_token", "secrets": [{"env": "S"}]}, {"S": "a/b"}, "verify.secrets[0]"),
    ({"scheme": "path_token", "secrets": [{"env": "S"}]}, {"S": ".."}, "verify.secrets[0]"),
    ({"scheme": "hmac", "header": "X", "secrets": [{"env": "S"}]}, {}, "verify.secrets[0]"),
]


@pytest.mark.parametrize(("written", "environ", "path"), CONTRADICTIONS)
def test_unusable_secret_is_a_config_error(written: dict[str, Any], environ: Mapping[str, str], path: str) -> None:
    scheme: Scheme = msgspec.convert(written, SchemeConfig)
    with pytest.raises(ConfigError) as caught:
        scheme.build(environ, "verify")
    assert caught.value.path == path
    assert all(secret not in str(caught.value) for secret in environ.values())


def test_private_key_of_wrong_length_is_a_config_error() -> None:
    with pytest.raises(ConfigError):
        SCHEMES["standard_webhooks v1a"][0].sign(BODY, "whsk_QUFB", "msg_1", NOW)


@pytest.mark.parametrize("scheme", ["bearer", "path_token", "header"])
def test_short_token_causes_a_warning(scheme: str) -> None:
    written = {"scheme": scheme, "secrets": [{"env": "S"}]} | ({"header": "X"} if scheme == "header" else {})
    built: Scheme = msgspec.convert(written, SchemeConfig)
    assert "guessed" in built.warnings({"S": "x" * 15})[0]
    assert not built.warnings({"S": "x" * 16})


def test_wrong_bearer_token_is_answered_with_a_challenge() -> None:
    with pytest.raises(Rejection) as caught:
        verify("bearer", Delivery("source", {"authorization": "Basic x"}, BODY, NOW))
    assert caught.value.headers["www-authenticate"].startswith("Bearer ")
