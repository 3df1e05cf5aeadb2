"""Signing schemes field by field: rejected and accepted deliveries, and the verified parts."""

import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from service.errors import ConfigError, Rejection
from service.events import Delivery
from service.secrets import SecretRef
from service.signatures import Basic, Hmac, Scheme, StandardWebhooks, Unverified, Verified, Verifier
from service.signatures.signature_verifier import ID_CHARACTERS_MAX
from service.signatures.timestamps import TimestampFormat, parse_timestamp

NOW = 1_700_000_000
BODY = b'{"id": "evt_1", "type": "order.updated"}'
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WHSEC_OLD = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
ENVIRON = {"A": "first secret", "B": "second secret", "W": WHSEC, "X": WHSEC_OLD}
REF_A, REF_B, REF_W, REF_X = (SecretRef(env=name) for name in "ABWX")

PLAIN = Hmac(header="X-Signature", secrets=(REF_A,))
FULL = Hmac(
    header="X-Signature",
    algorithm="sha512",
    encoding="base64",
    prefix="v0=",
    signed="{id}.{timestamp}.{body}",
    id_header="X-Id",
    timestamp_header="X-Time",
    secrets=(REF_A, REF_B),
)
STANDARD = StandardWebhooks(secrets=(REF_W, REF_X))
TIMED = {"signed": "{timestamp}.{body}", "timestamp_header": "X-Time"}
BASIC = Basic(username="till", password=(REF_A, REF_B))
SCHEMES: dict[str, tuple[Scheme, str]] = {
    "plain": (PLAIN, ENVIRON["A"]),
    "full": (FULL, ENVIRON["B"]),
    "standard": (STANDARD, WHSEC_OLD),
    "basic": (BASIC, ENVIRON["B"]),
}


def build(scheme: Scheme) -> Verifier:
    return scheme.build(ENVIRON, "verify")


def delivery(headers: Mapping[str, str], body: bytes = BODY, at: float = NOW) -> Delivery:
    return Delivery("source", headers, body, at)


def signed(scheme: Scheme, secret: str, body: bytes = BODY, timestamp: int = NOW) -> dict[str, str]:
    return scheme.sign(body, secret, "msg_1", timestamp)


def reject(scheme: Scheme, headers: Mapping[str, str], body: bytes = BODY, at: float = NOW) -> str:
    with pytest.raises(Rejection) as caught:
        build(scheme).verify(delivery(headers, body, at))
    assert caught.value.status == 401
    return caught.value.code


@pytest.mark.parametrize("name", SCHEMES)
def test_delivery_without_headers_is_rejected(name: str) -> None:
    assert reject(SCHEMES[name][0], {}) == "not_verified"


@pytest.mark.parametrize("name", SCHEMES)
def test_every_header_of_the_sender_is_required(name: str) -> None:
    scheme, secret = SCHEMES[name]
    headers = signed(scheme, secret)
    for missing in headers:
        assert reject(scheme, {key: value for key, value in headers.items() if key != missing}) == "not_verified"
        assert reject(scheme, headers | {missing: ""}) == "not_verified"


@pytest.mark.parametrize("name", SCHEMES)
def test_other_secret_is_rejected(name: str) -> None:
    scheme, _ = SCHEMES[name]
    other = "whsec_" + binascii.b2a_base64(b"x" * 24, newline=False).decode()
    assert reject(scheme, signed(scheme, other)) == "not_verified"


@pytest.mark.parametrize("name", ["plain", "full", "standard"])
@pytest.mark.parametrize("body", [b"", BODY + b"\n", b" " + BODY, BODY.replace(b'": "', b'":"')])
def test_changed_body_is_rejected(name: str, body: bytes) -> None:
    scheme, secret = SCHEMES[name]
    assert reject(scheme, signed(scheme, secret), body) == "not_verified"


@pytest.mark.parametrize(
    "timestamp",
    [
        "",
        "-1700000000",
        "+1700000000",
        "1700000000.5",
        "1.7e9",
        "inf",
        "Infinity",
        "nan",
        "0x65",
        "1_700_000_000",
        " 1700000000",
        "17000000000000000000",
        "9" * 5_000,
        "".join(chr(0x0660 + int(digit)) for digit in "1700000000"),
        "¹²³",
        "2023-11-14T22:13:20Z",
    ],
)
@pytest.mark.parametrize(("name", "header"), [("full", "x-time"), ("standard", "webhook-timestamp")])
def test_malformed_signed_timestamp_is_rejected(name: str, header: str, timestamp: str) -> None:
    scheme, secret = SCHEMES[name]
    headers = signed(scheme, secret) | {header: timestamp}
    text = b"msg_1.%b.%b" % (timestamp.encode(), BODY)
    if name == "full":
        headers["x-signature"] = "v0=" + base64_of(hmac.digest(secret.encode(), text, "sha512"))
    else:
        headers["webhook-signature"] = "v1," + base64_of(hmac.digest(key_of(secret), text, "sha256"))
    assert reject(scheme, headers) == "not_verified"


@pytest.mark.parametrize("name", ["full", "standard"])
@pytest.mark.parametrize(
    ("seconds_off", "code"), [(301, "stale_timestamp"), (-301, "stale_timestamp"), (300, ""), (-300, "")]
)
def test_timestamp_tolerance_applies_to_past_and_future(name: str, seconds_off: int, code: str) -> None:
    scheme, secret = SCHEMES[name]
    headers = signed(scheme, secret)
    if code:
        assert reject(scheme, headers, at=NOW + seconds_off) == code
    else:
        build(scheme).verify(delivery(headers, at=NOW + seconds_off))


@pytest.mark.parametrize("name", ["full", "standard"])
def test_stale_timestamp_with_wrong_signature_is_not_verified(name: str) -> None:
    scheme, secret = SCHEMES[name]
    assert reject(scheme, signed(scheme, secret), b"other", at=NOW + 9_000) == "not_verified"


@pytest.mark.parametrize(
    "scheme",
    [msgspec.structs.replace(FULL, tolerance_seconds=0), StandardWebhooks(tolerance_seconds=0, secrets=(REF_B,))],
)
def test_zero_tolerance_disables_the_timestamp_check_and_warns(scheme: Scheme) -> None:
    environ = {"A": "a", "B": WHSEC}
    headers = scheme.sign(BODY, WHSEC, "msg_1", 1)
    assert scheme.build(environ, "verify").verify(delivery(headers)).id == "msg_1"
    assert "tolerance_seconds" in scheme.warnings(environ)[0]


@pytest.mark.parametrize("event_id", ["", "x" * (ID_CHARACTERS_MAX + 1), "a\x00b", "a\nb", "é", "\x7f"])
@pytest.mark.parametrize(("name", "header"), [("full", "x-id"), ("standard", "webhook-id")])
def test_malformed_id_is_rejected(name: str, header: str, event_id: str) -> None:
    scheme, secret = SCHEMES[name]
    assert reject(scheme, scheme.sign(BODY, secret, event_id, NOW) | {header: event_id}) == "not_verified"


@pytest.mark.parametrize("name", SCHEMES)
def test_non_ascii_signature_is_rejected(name: str) -> None:
    scheme, secret = SCHEMES[name]
    headers = signed(scheme, secret)
    for header in ("x-signature", "webhook-signature", "authorization"):
        if header in headers:
            assert reject(scheme, headers | {header: headers[header] + "é"}) == "not_verified"
            assert reject(scheme, headers | {header: "Basic é\udcff v1,\xff"}) == "not_verified"


def test_other_versions_of_a_standard_webhooks_signature_are_skipped() -> None:
    headers = signed(STANDARD, WHSEC)
    good = headers["webhook-signature"]
    verifier = build(STANDARD)
    for text in (f"v1a,AAAA {good}", f"{good} v2,whatever", f"v1,wrong v1, {good} v9", f"{good}, v1,other"):
        assert verifier.verify(delivery(headers | {"webhook-signature": text})).id == "msg_1"
    for text in (good.replace("v1,", "v2,"), good.replace("v1,", "v1a,"), good.removeprefix("v1,"), good.upper()):
        assert reject(STANDARD, headers | {"webhook-signature": text}) == "not_verified"


def test_number_of_compared_signatures_is_limited() -> None:
    good = signed(STANDARD, WHSEC)
    flood = "v1,AAAA " * 16 + good["webhook-signature"]
    assert reject(STANDARD, good | {"webhook-signature": flood}) == "not_verified"
    plain = signed(PLAIN, ENVIRON["A"])
    assert reject(PLAIN, {"x-signature": "aa," * 16 + plain["x-signature"]}) == "not_verified"


def test_one_matching_signature_is_sufficient() -> None:
    good = signed(FULL, ENVIRON["A"])
    signature = good["x-signature"]
    for text in (f"v0=AAAA,{signature}", f"{signature}, v0=AAAA", f"v0=x {signature}", f"v1=AAAA,{signature}"):
        assert build(FULL).verify(delivery(good | {"x-signature": text})).id == "msg_1"
    assert reject(FULL, good | {"x-signature": signature.removeprefix("v0=")}) == "not_verified"


def test_prefix_may_contain_a_space() -> None:
    scheme = Hmac(header="Authorization", prefix="HMAC-SHA256 ", secrets=(REF_A,))
    headers = signed(scheme, ENVIRON["A"])
    assert headers["authorization"].startswith("HMAC-SHA256 ")
    assert build(scheme).verify(delivery(headers)) == Verified(None, BODY)


def test_hex_signature_is_case_insensitive() -> None:
    headers = {name: value.upper() for name, value in signed(PLAIN, ENVIRON["A"]).items()}
    assert build(PLAIN).verify(delivery(headers)) == Verified(None, BODY)


def test_verified_parts_are_returned() -> None:
    assert build(PLAIN).verify(delivery(signed(PLAIN, ENVIRON["A"]))) == Verified(None, BODY)
    expected = Verified("msg_1", b"msg_1.1700000000." + BODY)
    assert build(FULL).verify(delivery(signed(FULL, ENVIRON["A"]))) == expected
    assert build(STANDARD).verify(delivery(signed(STANDARD, WHSEC))) == expected
    assert build(BASIC).verify(delivery(signed(BASIC, ENVIRON["A"]))) == Verified(None, BODY)
    assert build(Unverified()).verify(delivery({})) == Verified(None, BODY)


@pytest.mark.parametrize("secret", ["A", "B"])
def test_every_active_secret_is_accepted(secret: str) -> None:
    both = msgspec.structs.replace(PLAIN, secrets=(REF_A, REF_B))
    build(both).verify(delivery(signed(both, ENVIRON[secret])))
    build(BASIC).verify(delivery(signed(BASIC, ENVIRON[secret])))


@pytest.mark.parametrize(
    "authorization",
    ["Basic", "Basic ", "Basic !!!", "Bearer dGlsbDpmaXJzdCBzZWNyZXQ=", "dGlsbDpmaXJzdCBzZWNyZXQ=", "Basic dGlsbDo="],
)
def test_basic_rejects_other_credentials_with_a_challenge(authorization: str) -> None:
    with pytest.raises(Rejection) as caught:
        build(BASIC).verify(delivery({"authorization": authorization}))
    assert caught.value.headers["www-authenticate"].startswith("Basic ")


def test_basic_scheme_name_is_case_insensitive() -> None:
    alone = Basic(username="till", password=REF_A)
    headers = {"authorization": signed(alone, ENVIRON["A"])["authorization"].replace("Basic", "BASIC")}
    assert build(alone).verify(delivery(headers)) == Verified(None, BODY)


def test_scheme_none_adds_no_headers_and_warns() -> None:
    assert signed(Unverified(), "") == {}
    assert Unverified().warnings(ENVIRON)
    assert (Unverified().refs, Unverified().path("")) == ((), "")
    assert "sha1" in msgspec.structs.replace(PLAIN, algorithm="sha1").warnings(ENVIRON)[0]
    assert not [scheme for scheme, _ in SCHEMES.values() if scheme.warnings(ENVIRON)]


def test_key_longer_than_the_hash_block_follows_rfc_2104() -> None:
    for algorithm, long in (("sha256", "k" * 65), ("sha512", "k" * 129), ("sha1", "k" * 200)):
        scheme = msgspec.structs.replace(PLAIN, algorithm=algorithm)
        text = hmac.new(long.encode(), BODY, getattr(hashlib, algorithm)).hexdigest()
        verified = scheme.build({"A": long}, "verify").verify(delivery({"x-signature": text}))
        assert verified == Verified(None, BODY)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"signed": "{body}{id}", "id_header": "X-Id"}, "verify.signed"),
        ({"signed": "{id}{body}", "id_header": "X-Id"}, "verify.signed"),
        ({"signed": "{timestamp}"}, "verify.signed"),
        ({"signed": "{body}.{body}"}, "verify.signed"),
        ({"signed": "{verb}.{body}"}, "verify.signed"),
        ({"signed": "{{body}}"}, "verify.signed"),
        ({"id_header": "X-Id"}, "verify.id_header"),
        ({"timestamp_header": "X-Time"}, "verify.timestamp_header"),
        ({"signed": "{id}.{body}"}, "verify.id_header"),
        ({"signed": "{timestamp}.{body}"}, "verify.timestamp_header"),
        ({"secrets": (REF_A, SecretRef(env="NONE"))}, "verify.secrets[1]"),
        ({"signed": "{method}{url}", "url": "https://x"}, "verify.signed"),
        ({"signed": "{url}{body}"}, "verify.signed"),
        ({"signed": "{value:a}{body}"}, "verify.signed"),
        ({"signed": "{body:hex}"}, "verify.signed"),
        ({"timestamp_prefix": "t="}, "verify.timestamp_prefix"),
        ({"timestamp_position": 1}, "verify.timestamp_position"),
        (TIMED | {"timestamp_prefix": "t=", "timestamp_position": 1}, "verify.timestamp_position"),
        (TIMED | {"timestamp_pointer": "/at"}, "verify.timestamp_pointer"),
        ({"header": None}, "verify.header"),
        ({"query": "signature"}, "verify.header"),
        ({"header": None, "form": "signature", "member": "signature"}, "verify.member"),
        ({"key_encoding": "hex"}, "verify.secrets[0]"),
    ],
)
def test_contradicting_hmac_fields_are_a_config_error(change: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(msgspec.structs.replace(PLAIN, **change))
    assert caught.value.path == path


@pytest.mark.parametrize("secret", ["not base64!", "whsec_", "whsec_c2hvcnQ=x", "whsec_é"])
def test_malformed_standard_webhooks_secret_is_not_repeated_in_the_error(secret: str) -> None:
    with pytest.raises(ConfigError) as caught:
        StandardWebhooks(secrets=(REF_A,)).build({"A": secret}, "verify")
    assert caught.value.path == "verify.secrets[0]"
    assert secret.removeprefix("whsec_") == "" or secret not in str(caught.value)


@pytest.mark.parametrize(("length", "warned"), [(5, True), (15, True), (16, False), (66, False)])
def test_key_of_any_length_is_accepted_and_a_short_one_warns(length: int, *, warned: bool) -> None:
    secret = "v1,whsec_" + base64_of(b"k" * length)
    scheme = StandardWebhooks(secrets=(REF_A,))
    headers = scheme.sign(BODY, secret, "msg_1", NOW)
    assert headers["webhook-signature"].endswith(
        base64_of(hmac.digest(b"k" * length, b"msg_1.1700000000." + BODY, "sha256"))
    )
    assert scheme.build({"A": secret}, "verify").verify(delivery(headers)).id == "msg_1"
    assert bool(scheme.warnings({"A": secret})) == warned


POSITIONED = Hmac(
    header="X-Signature",
    signed="{timestamp}.{body}",
    timestamp_header="X-Signature",
    timestamp_position=1,
    timestamp_format="milliseconds",
    secrets=(REF_A,),
)


def test_timestamp_is_read_by_position() -> None:
    headers = signed(POSITIONED, ENVIRON["A"])
    assert headers["x-signature"].startswith("1700000000000,")
    assert build(POSITIONED).verify(delivery(headers)).signed == b"1700000000000." + BODY
    for forged in (headers["x-signature"].partition(",")[2], "," + headers["x-signature"], "1", ""):
        assert reject(POSITIONED, {"x-signature": forged}) == "not_verified"


@pytest.mark.parametrize(
    ("written", "text", "valid"),
    [
        ("seconds", "1700000000", True),
        ("milliseconds", "1700000000000", True),
        ("milliseconds", "1" * 16, False),
        ("milliseconds", "17.5", False),
        ("date", "2023-11-14T22:13:20Z", True),
        ("date", "2023-11-14T23:13:20.123+01:00", True),
        ("date", "Tue, 14 Nov 2023 22:13:20 GMT", True),
        ("date", "2023-11-14T22:13:20", False),
        ("date", "Tue, 14 Nov 2023 22:13:20 +0000", False),
        ("date", "Tue, 99 Nov 2023 22:13:20 GMT", False),
        ("date", "Tue, 14 Foo 2023 22:13:20 GMT", False),
        ("date", "1700000000", False),
        ("date", "2023-11-14T22:13:20Z" + "0" * 40, False),
        ("date", "२०२३-11-14T22:13:20Z", False),
    ],
)
def test_timestamp_formats(written: TimestampFormat, text: str, *, valid: bool) -> None:
    if valid:
        assert int(parse_timestamp(text, written, "x-time")) == NOW
    else:
        with pytest.raises(Rejection):
            parse_timestamp(text, written, "x-time")


def test_user_name_with_a_colon_is_a_config_error() -> None:
    with pytest.raises(ConfigError) as caught:
        build(Basic(username="a:b", password=REF_A))
    assert caught.value.path == "verify.username"


def test_timestamp_may_be_adjacent_to_the_body() -> None:
    scheme = msgspec.structs.replace(PLAIN, signed="{timestamp}{body}", timestamp_header="X-Time")
    verified = build(scheme).verify(delivery(signed(scheme, ENVIRON["A"])))
    assert verified.signed == b"1700000000" + BODY


def test_scheme_without_build_and_sign_raises_not_implemented() -> None:
    with pytest.raises(NotImplementedError):
        Scheme().build({}, "verify")
    with pytest.raises(NotImplementedError):
        Scheme().sign(b"", "", "", 0)


def base64_of(digest: bytes) -> str:
    return binascii.b2a_base64(digest, newline=False).decode()


def key_of(secret: str) -> bytes:
    return binascii.a2b_base64(secret.removeprefix("whsec_"))
