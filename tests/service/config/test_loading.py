"""waybill.yaml: mistakes have a path, a reason and a fix; valid files become a Config."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
import yaml

from service.config import Config
from service.config.auth import BasicAuth, BearerAuth, ClientCredentialsAuth, HeaderAuth, NoAuth
from service.config.decoding import decode_config
from service.configuration import load_config, read_config
from service.envelopes import CustomEnvelope, PlatformEnvelope
from service.errors import ConfigError, ConfigErrors
from service.platforms.custom.config import CustomConfig
from service.platforms.pack_cloud.config import PackCloudConfig
from service.platforms.pexip_engage.config import PexipEngageConfig
from service.platforms.registry import KINDS
from service.signatures import Basic, Hmac, StandardWebhooks

EXAMPLE = Path(__file__).parents[3] / "docs/examples/waybill.yaml"
ENVIRON = {
    "PACK_TOKEN": "t",
    "ENGAGE_ID": "i",
    "ENGAGE_SECRET": "s",
    "OFN_TOKEN": "t",
    "FLOW_TOKEN": "t",
    "ERP_KEY": "k",
    "PACK_SECRET": "new",
    "PACK_SECRET_OLD": "old",
    "NOT_BASE64": "not base64!",
    "ERP_WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "CLAIMS_TOKEN": "t",
    "CLAIMS_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "FLOW_PASSWORD": "p",
    "ENGAGE_TOKEN": "0123456789abcdef",
    "OFN_WEBHOOK_TOKEN": "fedcba9876543210",
}


class Removed:
    """Marker for a removed key. Its text is constant, because it is part of test ids."""

    def __repr__(self) -> str:
        return "removed"


REMOVED = Removed()


EXAMPLE_DATA: Any = yaml.safe_load(EXAMPLE.read_text())


def change(path: str, value: object) -> dict[str, Any]:
    """Return the example configuration with one value set or removed."""
    data: Any = copy.deepcopy(EXAMPLE_DATA)
    *parents, last = path.split("/")
    target = data
    for step in parents:
        target = target[int(step) if isinstance(target, list) else step]
    if value is REMOVED:
        del target[last]
    elif isinstance(target, list):
        target[int(last)] = value
    else:
        target[last] = value
    return data


def write(folder: Path, data: object) -> Path:
    path = folder / "waybill.yaml"
    path.write_text(yaml.dump(data, Dumper=yaml.CSafeDumper))
    return path


def mistakes(folder: Path, data: object, environ: Mapping[str, str] = ENVIRON) -> tuple[ConfigError, ...]:
    report = read_config(write(folder, data), environ)
    assert (report.config is None) == bool(report.mistakes)
    return report.mistakes


def load(folder: Path, path: str, value: object, environ: Mapping[str, str] = ENVIRON) -> Config:
    return load_config(write(folder, change(path, value)), environ)


SECRET = {"env": "PACK_SECRET"}
NONE = {"scheme": "none"}
BEARER = {"scheme": "bearer", "secrets": [SECRET]}
STRIPE = {"platform": "pack", "preset": "stripe", "secrets": [SECRET], "envelope": "standard_webhooks"}

INVALID: list[tuple[str, object, str, str, str]] = [
    # change, to, path of the mistake, part of the reason, part of the fix
    ("platfroms", {}, "platfroms", "unknown key", "did you mean platforms?"),
    ("admim", {"tokens": []}, "admim", "unknown key", "did you mean admin?"),
    ("platforms", [1], "platforms", "is not a mapping of names", "under platforms:"),
    ("sources", {}, "sources", "missing or empty", "at least one"),
    ("sources", "x", "sources", "is not a mapping of names", "under sources:"),
    ("rules", "rules/*.yaml", "rules", "Expected `array`", "write"),
    ("rules", [""], "rules[0]", "length >= 1", "glob"),
    ("outbound", {"allow_private_host": []}, "outbound.allow_private_host", "unknown key", "allow_private_hosts?"),
    (
        "outbound",
        {"allow_private_hosts": ["http://x"]},
        "outbound.allow_private_hosts[0]",
        "form",
        "without scheme",
    ),
    # platforms
    ("platforms/pack", "pack_cloud", "platforms.pack", "Expected `object`", "write"),
    ("platforms/pack/kind", "pack_clod", "platforms.pack.kind", "Invalid value", "did you mean pack_cloud?"),
    ("platforms/pack/kind", REMOVED, "platforms.pack.kind", "missing", "one of pack_cloud"),
    ("platforms/pack/kind", 1, "platforms.pack.kind", "Expected `str`", "valid: "),
    ("platforms/pack/tokn", SECRET, "platforms.pack.tokn", "unknown key", "did you mean token?"),
    ("platforms/pack/token", REMOVED, "platforms.pack.token", "missing", "{env: NAME}"),
    ("platforms/pack/token", "hush", "platforms.pack.token", "plain text", "{env: NAME}"),
    ("platforms/pack/token", 4711, "platforms.pack.token", "plain text", "{env: NAME}"),
    ("platforms/pack/token", {}, "platforms.pack.token", "either env or file", "write"),
    ("platforms/pack/token", {"env": "A", "file": "/b"}, "platforms.pack.token", "either env or file", "{env: NAME}"),
    ("sources/pack-orders/verify/scheme", "HMAC", "sources.pack-orders.verify.scheme", "Invalid", "mean hmac?"),
    ("sources/pack-orders/verify/scheme", "hmac_sha256", "sources.pack-orders.verify.scheme", "Invalid", "mean hmac?"),
    ("sources/pack-orders/verify/algorithm", "SHA-256", "sources.pack-orders.verify.algorithm", "Inv", "mean sha256?"),
    ("platforms/erp/auth/type", "oauth2", "platforms.erp.auth.type", "Invalid", "mean oauth2_client_credentials?"),
    (
        "platforms/erp/records/purchase_order/list",
        {"path": "/orders", "next": "page"},
        "platforms.erp.records.purchase_order.list.path",
        "every request would return the first page",
        "{page}",
    ),
    (
        "platforms/erp/records/purchase_order/list",
        {"path": "/orders?page={page}"},
        "platforms.erp.records.purchase_order.list.next",
        "only the first page would be read",
        "next: page",
    ),
    (
        "platforms/erp/records/purchase_order/list",
        {"path": "/orders?after={cursor}", "next": "page"},
        "platforms.erp.records.purchase_order.list.path",
        "every request would return the first page",
        "{page}",
    ),
    (
        "platforms/erp/records/purchase_order/list",
        {"path": "/orders?after={cursor}", "next": "link"},
        "platforms.erp.records.purchase_order.list.next",
        "is not a pointer to the cursor",
        "/meta/next",
    ),
    (
        "sources/erp-orders/poll",
        {"every": "5m", "record": "purchase_order"},
        "sources.erp-orders.poll.record",
        "cannot list ",
        "add list: to platforms.erp.records.purchase_order",
    ),
    ("platforms/pack/token", {"envv": "A"}, "platforms.pack.token.envv", "unknown key", "did you mean env?"),
    ("platforms/pack/token", {"env": 1}, "platforms.pack.token.env", "Expected `str", "in quotes"),
    ("platforms/pack/token", {"env": "NONE"}, "platforms.pack.token", "NONE is not set", "set NONE"),
    ("platforms/pack/token", {"file": "run/x"}, "platforms.pack.token", "not an absolute path", "start it with /"),
    ("platforms/pack/organization_id", 1, "platforms.pack.organization_id", "Expected `str`", "id"),
    ("platforms/pack/base_url", "api.pack.cloud", "platforms.pack.base_url", "form", "https URL"),
    ("platforms/pack/base_url", "https://u:p@x/", "platforms.pack.base_url", "form", "without user"),
    ("platforms/pack/base_url", "https://x:80x80/v1", "platforms.pack.base_url", "Port could not be cast", "port"),
    ("platforms/pack/base_url", "https://x:808080/v1", "platforms.pack.base_url", "Port out of range", "port"),
    ("platforms/engage/token_url", "https://[zz]/token", "platforms.engage.token_url", "cannot be used", "host"),
    ("platforms/pack/base_url", "https://x/?a=b", "platforms.pack.base_url", "form", "without user"),
    ("platforms/pack/requests_in_flight_max", 0, "platforms.pack.requests_in_flight_max", ">= 1", "whole number"),
    ("platforms/flow/tenant_uid", "a/b", "platforms.flow.tenant_uid", "form", "id"),
    ("platforms/ofn/base_url", REMOVED, "platforms.ofn.base_url", "missing", "add base_url"),
    ("platforms/Pack", {}, "platforms.Pack", "is not a valid name", "lower-case"),
    ("platforms/erp/auth/type", "heder", "platforms.erp.auth.type", "Invalid value", "did you mean header?"),
    ("platforms/erp/auth", REMOVED, "platforms.erp.auth", "missing", "add auth"),
    ("platforms/erp/auth/value", "hush", "platforms.erp.auth.value", "plain text", "{env: NAME}"),
    ("platforms/erp/auth/name", "X Key", "platforms.erp.auth.name", "form", "header name"),
    ("platforms/erp/records", {}, "platforms.erp.records", "is empty", "customer, purchase_order"),
    (
        "platforms/erp/records/purchase_ordr",
        {"path": "/x/{id}"},
        "platforms.erp.records.purchase_ordr",
        "no kind",
        "did you mean purchase_order?",
    ),
    (
        "platforms/erp/records/purchase_order/path",
        "/orders",
        "platforms.erp.records.purchase_order.path",
        "form",
        "{id}",
    ),
    (
        "platforms/erp/records/purchase_order/map",
        {"status": "state"},
        "platforms.erp.records.purchase_order.map.status",
        "form",
        "JSON pointer",
    ),
    (
        "platforms/erp/records/purchase_order/att",
        "/x",
        "platforms.erp.records.purchase_order.att",
        "unknown key",
        "did you mean at?",
    ),
    # sources
    ("sources/Pack_Orders", {}, "sources.Pack_Orders", "is not a valid name", "lower-case"),
    ("sources/-x", {}, "sources.-x", "is not a valid name", "hyphen"),
    ("sources/" + "x" * 65, {}, "sources." + "x" * 65, "is not a valid name", "64"),
    ("sources/pack-orders", None, "sources.pack-orders", "Expected `object`", "write"),
    ("sources/pack-orders/platform", "pakc", "sources.pack-orders.platform", "no platform pakc", "did you mean pack?"),
    ("sources/pack-orders/platform", REMOVED, "sources.pack-orders.envelope", "without a platform", "add platform"),
    ("sources/erp-orders/platform", REMOVED, "sources.erp-orders.envelope.record", "has no platform", "add platform"),
    ("sources/pack", {"verify": BEARER}, "sources.pack", "the name of an account", "add platform: pack"),
    ("sources/erp-orders/envelope/record", REMOVED, "sources.erp-orders.envelope.record", "missing", "write record"),
    ("sources/pack-orders/platform", "erp-orders", "sources.pack-orders.platform", "there is no platform", "mean"),
    ("sources/pack-orders/headers", ["X-Shop"], "sources.pack-orders.headers[0]", "form", "lower case"),
    ("sources/pack-orders/headers", ["x-api-key"], "sources.pack-orders.headers[0]", "may hold a credential", "remove"),
    ("sources/pack-orders/headers", ["x"] * 11, "sources.pack-orders.headers", "length <= 10", "at most 10"),
    ("platforms/erp/records/event", {"path": "/x/{id}"}, "platforms.erp.records.event", "no kind event", "declare"),
    (
        "sources/alarms",
        {"poll": {"every": "5m", "record": "customer"}},
        "sources.alarms.poll.record",
        "cannot list customer",
        "add platform",
    ),
    ("sources/pack-orders/poll", {"every": "5m"}, "sources.pack-orders.poll.record", "missing", "add record"),
    ("sources/pack-orders/poll", {"every": "0m", "record": "customer"}, "sources.pack-orders.poll.every", "form", "5m"),
    (
        "sources/pack-orders/poll",
        {"every": "5m", "record": "customer"},
        "sources.pack-orders.poll.record",
        "cannot list ",
        "purchase_order",
    ),
    ("sources/pack-orders/failure_status", 200, "sources.pack-orders.failure_status", ">= 400", "400 to 599"),
    ("sources/pack-orders/dedupe_hours", 0, "sources.pack-orders.dedupe_hours", "> 0", "hours"),
    (
        "sources/pack-orders/identical_bodies",
        "sam",
        "sources.pack-orders.identical_bodies",
        "Invalid",
        "did you mean same?",
    ),
    ("sources/pack-orders/verify", REMOVED, "sources.pack-orders", "neither verify nor poll", "scheme"),
    ("sources/pack-orders/verify", "hmac", "sources.pack-orders.verify", "Expected `object | null`", "write"),
    ("sources/pack-orders/verify", NONE, "sources.pack-orders.verify", "from anyone", "allow_unverified: true"),
    (
        "sources/pack-orders/verify/scheme",
        "hmack",
        "sources.pack-orders.verify.scheme",
        "Invalid",
        "did you mean hmac?",
    ),
    (
        "sources/pack-orders/verify/heder",
        "X",
        "sources.pack-orders.verify.heder",
        "unknown key",
        "did you mean header?",
    ),
    ("sources/pack-orders/verify/algorithm", "md5", "sources.pack-orders.verify.algorithm", "Invalid", "sha256"),
    (
        "sources/pack-orders/verify/secrets",
        [],
        "sources.pack-orders.verify.secrets",
        "length >= 1",
        "a list of secret references",
    ),
    ("sources/pack-orders/verify/secrets", SECRET, "sources.pack-orders.verify.secrets", "Expected `array`", "a list"),
    (
        "sources/pack-orders/verify/secrets/0",
        "hush",
        "sources.pack-orders.verify.secrets[0]",
        "plain text",
        "{env: NAME}",
    ),
    (
        "sources/pack-orders/verify/secrets/1",
        {"env": "NO"},
        "sources.pack-orders.verify.secrets[1]",
        "not set",
        "set NO",
    ),
    ("sources/pack-orders/verify/signed", "{x}", "sources.pack-orders.verify.signed", "unknown placeholder", "{body}"),
    ("sources/pack-orders/verify/prefix", "a,", "sources.pack-orders.verify.prefix", "form", "without , and ;"),
    (
        "sources/erp-orders/verify/secrets/0",
        {"env": "NOT_BASE64"},
        "sources.erp-orders.verify.secrets[0]",
        "not base64",
        "as the sender shows it",
    ),
    ("sources/erp-orders/verify/secrets", [], "sources.erp-orders.verify.secrets", "missing", "public_keys"),
    (
        "sources/erp-orders/verify/public_keys",
        ["whsec_x"],
        "sources.erp-orders.verify.public_keys[0]",
        "not accepted",
        "PEM",
    ),
    ("sources/pack-orders/verify", {"scheme": "hmacc"}, "sources.pack-orders.verify.scheme", "Invalid", "mean hmac?"),
    ("sources/pack-orders/verify", {"scheme": "bearer"}, "sources.pack-orders.verify.secrets", "missing", "add secr"),
    (
        "sources/pack-orders/verify",
        {"scheme": "bearer", "secrets": [SECRET], "header": "X"},
        "sources.pack-orders.verify.header",
        "unknown key",
        "valid: scheme, secrets",
    ),
    (
        "sources/pack-orders/content_types",
        "text/plain",
        "sources.pack-orders.content_types",
        "array",
        "a list of media",
    ),
    ("sources/pack-orders/content_types", ["Text"], "sources.pack-orders.content_types[0]", "form", "text/plain, or *"),
    (
        "sources/pack-orders/challenge",
        {"match": {f"/{number}": "" for number in range(9)}, "echo": "/challenge"},
        "sources.pack-orders.challenge.match",
        "length <= 8",
        "pointers",
    ),
    (
        "sources/pack-orders/challenge",
        {"match": {"/type": "x"}, "echo": "challenge"},
        "sources.pack-orders.challenge.echo",
        "form",
        "JSON pointer",
    ),
    (
        "sources/pack-orders/challenge",
        {"match": {"/type": "x"}, "echo": "/a", "proof": {"secret": {"env": "NONE"}}},
        "sources.pack-orders.challenge.proof.secret",
        "NONE is not set",
        "set NONE",
    ),
    (
        "sources/pack-orders/handshake",
        {"echo": "crc_token", "proof": {"secret": "hush"}},
        "sources.pack-orders.handshake.proof.secret",
        "plain text",
        "{env: NAME}",
    ),
    (
        "sources/erp-orders",
        {
            "platform": "erp",
            "verify": {"scheme": "bearer", "secrets": [SECRET]},
            "envelope": "cloudevents",
            "handshake": {"echo": "crc_token", "proof": {"secret": SECRET}},
        },
        "sources.erp-orders.handshake.proof",
        "signature of a binary event",
        "another envelope",
    ),
    (
        "sources/erp-orders/envelope",
        {"kind": "cloudevents", "record": {"kind": "customer"}},
        "sources.erp-orders.envelope.record.kind",
        "erp has no customer",
        "valid: purchase_order",
    ),
    ("sources/erp-orders/verify/tolerance_seconds", -1, "sources.erp-orders.verify.tolerance_seconds", ">= 0", "write"),
    ("sources/flow-till/verify/password", "hush", "sources.flow-till.verify.password", "plain text", "{env: NAME}"),
    (
        "sources/flow-till/verify/password",
        ["hush"],
        "sources.flow-till.verify.password[0]",
        "plain text",
        "{env: NAME}",
    ),
    (
        "sources/pack-orders/envelope",
        "platfrom",
        "sources.pack-orders.envelope.kind",
        "Invalid",
        "did you mean platform?",
    ),
    ("sources/pack-orders/envelope", 1, "sources.pack-orders.envelope", "Expected `object`", "write"),
    (
        "sources/erp-orders/envelope",
        "platform",
        "sources.erp-orders.envelope",
        "no envelope of its own",
        "kind: custom",
    ),
    ("sources/erp-orders/envelope", REMOVED, "sources.erp-orders.envelope", "no envelope of its own", "kind: custom"),
    (
        "sources/erp-orders/envelope/record/kind",
        "customer",
        "sources.erp-orders.envelope.record.kind",
        "erp has no customer",
        "valid: purchase_order",
    ),
    (
        "sources/erp-orders/envelope/record",
        {"kind": "/k", "id": "/id", "kinds": {"PO": "purchase_ordr"}},
        "sources.erp-orders.envelope.record.kinds.PO",
        "erp has no purchase_ordr",
        "did you mean purchase_order?",
    ),
]


@pytest.mark.parametrize(
    ("key", "value", "path", "reason", "fix"),
    INVALID,
    ids=[f"{row[0]}={'(removed)' if row[1] is REMOVED else row[1]}" for row in INVALID],
)
def test_mistake_has_path_reason_and_fix(  # noqa: PLR0917 - one argument per column
    tmp_path: Path, key: str, value: object, path: str, reason: str, fix: str
) -> None:
    found = mistakes(tmp_path, change(key, value))
    mistake = next((item for item in found if item.path == path), found[0])
    assert mistake.path == path
    assert reason in mistake.reason
    assert fix in mistake.fix
    assert "hush" not in "".join(map(str, found))


class Bounded(msgspec.Struct):
    """A limit without a description."""

    count: Annotated[int, msgspec.Meta(ge=1)]


def test_limit_without_description_has_a_default_fix() -> None:
    with pytest.raises(ConfigError) as caught:
        decode_config({"count": 0}, Bounded, "x")
    assert (caught.value.path, caught.value.fix) == ("x.count", "write a value of the expected type")


def test_all_mistakes_are_reported(tmp_path: Path) -> None:
    data = change("platforms/pack/kind", "pack_clod")
    data["platforms"]["flow"]["token"] = "hush"
    data["sources"]["flow-till"]["platform"] = "till"
    data["sources"]["erp-orders"]["verify"]["secrets"] = []
    data["extra"] = 1
    paths = {mistake.path for mistake in mistakes(tmp_path, data)}
    assert paths == {
        "platforms.pack.kind",
        "platforms.flow.token",
        "sources.flow-till.platform",
        "sources.erp-orders.verify.secrets",
        "extra",
    }


def test_load_config_raises_the_first_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "platforms/pack/kind", "pack_clod")
    assert caught.value.path == "platforms.pack.kind"


@pytest.mark.parametrize("text", ["", "[]", "waybill", "null", "1"])
def test_file_without_sections_is_rejected(tmp_path: Path, text: str) -> None:
    (tmp_path / "waybill.yaml").write_text(text)
    with pytest.raises(ConfigError, match="has no sections"):
        load_config(tmp_path / "waybill.yaml", {})


def test_missing_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "waybill.yaml", {})


def test_all_missing_secrets_are_reported() -> None:
    found = {mistake.path for mistake in read_config(EXAMPLE, {}).mistakes}
    assert found == {
        "platforms.pack.token",
        "destinations.claims.auth.token",
        "destinations.claims.signature.secrets[0]",
        "platforms.engage.client_id",
        "platforms.engage.client_secret",
        "platforms.ofn.token",
        "platforms.flow.token",
        "platforms.erp.auth.value",
        "sources.pack-orders.verify.secrets[0]",
        "sources.erp-orders.verify.secrets[0]",
        "sources.erp-events.verify.secrets[0]",
        "sources.flow-till.verify.password",
        "sources.engage-appointments.verify.secrets[0]",
        "sources.ofn-payments.verify.secrets[0]",
    }


def test_example_configuration_is_valid() -> None:
    config = load_config(EXAMPLE, ENVIRON)
    assert list(config.platforms) == ["pack", "engage", "ofn", "flow", "erp"]
    assert {type(platform) for platform in config.platforms.values()} <= {kind.config for kind in KINDS}
    orders, erp, till = (config.sources[name] for name in ("pack-orders", "erp-orders", "flow-till"))
    assert isinstance(orders.verify, Hmac)
    assert isinstance(erp.verify, StandardWebhooks)
    assert isinstance(till.verify, Basic)
    assert isinstance(erp.envelope, CustomEnvelope)
    assert orders.envelope == till.envelope == PlatformEnvelope()
    assert config.rules == ("rules/*.yaml",)
    assert config.path == EXAMPLE
    assert not config.warnings


def test_default_urls_and_limits_of_platforms() -> None:
    platforms = load_config(EXAMPLE, ENVIRON).platforms
    engage = platforms["engage"]
    assert isinstance(engage, PexipEngageConfig)
    assert (engage.requests_in_flight_max, engage.requests_per_minute_max) == (4, 3_000)
    assert isinstance(platforms["pack"], PackCloudConfig)
    assert platforms["pack"].base_url == "https://api.pack.cloud/v1"
    assert platforms["pack"].requests_in_flight_max is None


@pytest.mark.parametrize(
    ("auth", "kind"),
    [
        ({"type": "bearer", "token": SECRET}, BearerAuth),
        ({"type": "header", "name": "X-Key", "value": SECRET}, HeaderAuth),
        ({"type": "basic", "username": "u", "password": SECRET}, BasicAuth),
        (
            {
                "type": "oauth2_client_credentials",
                "token_url": "https://auth.example.com/token",
                "client_id": SECRET,
                "client_secret": SECRET,
                "scope": "read",
            },
            ClientCredentialsAuth,
        ),
        ({"type": "none"}, NoAuth),
    ],
)
def test_custom_platform_supports_all_kinds_of_auth(tmp_path: Path, auth: dict[str, Any], kind: type) -> None:
    erp = load(tmp_path, "platforms/erp/auth", auth).platforms["erp"]
    assert isinstance(erp, CustomConfig)
    assert isinstance(erp.auth, kind)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_ignored_proxy_is_a_warning(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, change("platforms/pack/kind", "pack_cloud"))
    without = load_config(path, {**ENVIRON, name: ""}).warnings
    warning, *others = load_config(path, {**ENVIRON, name: "http://user:hush@proxy:3128"}).warnings
    assert tuple(others) == without
    assert warning.startswith(f"{name.upper()}: is ignored")
    assert "hush" not in warning
    used = {"WAYBILL_OUTBOUND_PROXY_VARIABLES": "true", name: "http://proxy:3128"}
    assert load_config(path, {**ENVIRON, **used}).warnings == without


def test_allowed_unverified_source_is_a_warning(tmp_path: Path) -> None:
    source = {"platform": "ofn", "verify": NONE, "allow_unverified": True}
    config = load(tmp_path, "sources/ofn-payments", source)
    assert config.warnings == (
        "sources.ofn-payments.verify: scheme: none accepts deliveries from every client that can reach the port",
    )


@pytest.mark.parametrize(
    ("pointer", "warned"),
    [
        ("/created_at", True),
        ("/data/createdAt", True),
        ("/data/creation_date", True),
        ("/created", True),
        ("/created/changed_at", False),
        ("/changed_at", False),
        (None, False),
    ],
)
def test_creation_time_as_the_time_of_an_event_is_a_warning(
    tmp_path: Path, pointer: str | None, *, warned: bool
) -> None:
    warnings = load(tmp_path, "sources/erp-orders/envelope/occurred_at", pointer).warnings
    assert [text.partition(":")[0] for text in warnings] == ["sources.erp-orders.envelope.occurred_at"] * warned


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("platforms/erp/base_url", "http://erp.example.com/api", "platforms.erp.base_url"),
        ("platforms/engage/token_url", "http://auth.example.com/token", "platforms.engage.token_url"),
        ("platforms/erp/base_url", "http://8.8.8.8/api", "platforms.erp.base_url"),
        ("platforms/erp/base_url", "http://10.0.0.8:8080/api", None),
        ("platforms/erp/base_url", "http://[::1]/api", None),
        ("platforms/erp/base_url", "http://erp/api", None),
        ("platforms/erp/base_url", "http://erp.shop.svc/api", None),
        ("platforms/erp/base_url", "http://erp.shop.svc.cluster.local:8080/api", None),
    ],
)
def test_credentials_over_public_http_are_a_warning(
    tmp_path: Path, path: str, value: str, expected: str | None
) -> None:
    warnings = load(tmp_path, path, value).warnings
    assert [text.split(": http sends the credentials")[0] for text in warnings] == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("path", "value", "warning"),
    [
        ("sources/erp-orders/verify/tolerance_seconds", 0, "sources.erp-orders.verify: tolerance_seconds: 0"),
        ("sources/pack-orders/verify/algorithm", "sha1", "sources.pack-orders.verify: sha1 is weak"),
        ("sources/pack-orders/allow_unverified", True, "sources.pack-orders.allow_unverified: has no effect"),
        ("sources/pack-orders/verify", BEARER, "sources.pack-orders.verify: a secret of fewer than 16 characters"),
        ("sources/pack-orders/envelope", "cloudevents", "sources.pack-orders.envelope: ce-id is not signed"),
        ("sources/pack-orders/envelope", "standard_webhooks", "sources.pack-orders.envelope: has no id, so equal"),
        ("sources/pack-orders", STRIPE, "sources.pack-orders.envelope: has no id, so a re-signed redelivery"),
        ("sources/pack-orders/dedupe_hours", 71, "sources.pack-orders.dedupe_hours: the sender may send an event"),
    ],
)
def test_risky_configuration_is_a_warning(tmp_path: Path, path: str, value: object, warning: str) -> None:
    assert load(tmp_path, path, value).warnings[0].startswith(warning)


@pytest.mark.parametrize(
    ("secret", "damage"),
    [
        (" key-of-the-sender", "surrounding blanks"),
        ('"key-of-the-sender"', "in quotes"),
        ("key\x07of-the-sender", "control characters"),
        ("changeme", "placeholder"),
        ("<your secret>", "placeholder"),
        ("whsec_MfKQ9r...", "placeholder"),
        ("${SECRET}", "placeholder"),
        ("key-of-the-sender", ""),
    ],
)
def test_damaged_secret_causes_a_warning_without_it(tmp_path: Path, secret: str, damage: str) -> None:
    warnings = load(tmp_path, "sources/pack-orders/dedupe_hours", 100, ENVIRON | {"PACK_SECRET": secret}).warnings
    found = [text for text in warnings if "copy it again" in text]
    assert [damage in text for text in found] == ([True] if damage else [])
    assert not any(secret in text for text in found)


def test_window_shorter_than_the_tolerance_causes_a_warning(tmp_path: Path) -> None:
    warnings = load(tmp_path, "sources/erp-orders/dedupe_hours", 0.1).warnings
    assert any("twice tolerance_seconds (600 s)" in text for text in warnings)
    longer = load(tmp_path, "sources/erp-orders/dedupe_hours", 0.2).warnings
    assert not any("tolerance_seconds" in text for text in longer)


def test_explicit_decision_is_not_a_warning(tmp_path: Path) -> None:
    decided = STRIPE | {"identical_bodies": "same", "dedupe_hours": 96}
    assert not load(tmp_path, "sources/pack-orders", decided).warnings


def test_private_hosts_are_names_or_addresses(tmp_path: Path) -> None:
    hosts = ["erp.internal", "10.0.0.7", "fd00::1"]
    assert load(tmp_path, "outbound/allow_private_hosts", hosts).outbound.allow_private_hosts == tuple(hosts)


def test_custom_envelope_can_refer_to_hints_of_the_platform(tmp_path: Path) -> None:
    envelope = {"kind": "custom", "type": "/event", "record": {"kind": "order", "id": "/id"}}
    assert load(tmp_path, "sources/pack-orders/envelope", envelope).sources["pack-orders"].envelope


def test_a_mistake_has_the_file_and_the_line_of_the_deepest_value_that_exists(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(
        "platforms:\n  erp:\n    kind: pack_cloud\n    organization_id: o\n"
        "sources:\n  erp-orders:\n    platform: erp\n    verify:\n      scheme: hmac\n"
    )
    with pytest.raises(ConfigErrors) as caught:
        load_config(path, {})
    found = {mistake.path: mistake for mistake in caught.value.mistakes}
    assert len(found) > 1, "all mistakes are raised"
    assert found["platforms.erp.token"].line == 2, "the key is missing, so its object is named"
    assert any(mistake.line == 8 for name, mistake in found.items() if name.startswith("sources.erp-orders.verify."))
    assert str(found["platforms.erp.token"]).startswith(f"{path}:2: platforms.erp.token: is missing. Fix: ")


def test_source_without_a_platform_is_no_account_of_another_source(tmp_path: Path) -> None:
    alarms = {"verify": BEARER, "envelope": {"kind": "custom", "type": "/type"}}
    config = load(tmp_path, "sources/alarms", alarms)
    assert config.sources["alarms"].platform == "alarms"
    assert config.account_of(config.sources["alarms"]).known_kinds() == {"event"}
    data = change("sources/alarms", alarms)
    data["sources"]["pack-orders"]["platform"] = "alarms"
    (mistake,) = mistakes(tmp_path, data)
    assert (mistake.path, mistake.reason) == ("sources.pack-orders.platform", "there is no platform alarms")
