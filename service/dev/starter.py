"""Files of `waybill init`: waybill.yaml, a rule with its test, and variables. Pure.

All addresses are those of the sandbox, so that the files run without an account on a platform.
"""

from typing import Any

import msgspec
from msgspec import Struct

from service.config.presets import SenderPreset, load_preset, preset_names
from service.dev.ports import DEFAULT_SANDBOX_PORT
from service.errors import ConfigError
from service.mock.platform import SECRET_REF, SECRET_VARIABLE, TOKEN, TOKEN_REF, TOKEN_VARIABLE, StarterAccount
from service.sandbox.platforms import MOCKS

OWN_PRESET = "platform"
"""Answer for the deliveries of a built-in platform itself."""
CUSTOM = "custom"
RULES = ("log", "http", "short-receipt")

SANDBOX = f"http://127.0.0.1:{DEFAULT_SANDBOX_PORT}"
VERIFY_VARIABLE = "VERIFY_TOKEN"
PUBLIC_URL = "https://hooks.example.com"
VERIFY_REF = {"env": VERIFY_VARIABLE}

ORDER, CUSTOMER = "purchase_order", "customer"


_CUSTOM_STARTER = StarterAccount(
    {
        "auth": {"type": "bearer", "token": TOKEN_REF},
        "records": {ORDER: {"path": "/purchase-orders/{id}"}, CUSTOMER: {"path": "/customers/{id}"}},
    },
    (ORDER, CUSTOMER),
    None,
)
"""Account on the mock of pack.cloud, without its connector."""

PLATFORMS = (CUSTOM, *MOCKS)


class StarterChoice(Struct, frozen=True):
    """Answers to the three questions, and the port of the sandbox."""

    preset: str
    platform: str
    rule: str
    sandbox_port: int = DEFAULT_SANDBOX_PORT


def starter_presets() -> tuple[str, ...]:
    """Return the presets that need no key which only the sender has."""
    return tuple(name for name in preset_names() if "public_keys" not in load_preset(name).requires)


def build_files(choice: StarterChoice) -> dict[str, str]:
    """Return the content of each file by its path.

    Raises:
        ConfigError: the answers do not fit together.
    """
    platform = _CUSTOM_STARTER if choice.platform == CUSTOM else MOCKS[choice.platform].starter
    kind = _record_kind(choice, platform)
    if choice.rule == "short-receipt" and kind != ORDER:
        fix = "choose log or http"
        raise ConfigError("--rule", f"short-receipt is a rule about purchase orders, not about a {kind}", fix)
    account, source = choice.platform.replace("_", "-"), _source_name(choice)
    config: dict[str, Any] = {
        "platforms": {account: _account(choice.platform, platform)},
        "sources": {source: {"platform": account, **_source(choice, platform, kind)}},
        "rules": ["rules/*.yaml"],
        "outbound": {"allow_private_hosts": ["127.0.0.1"]},
    }
    rule, test = _rule(choice.rule, kind), _rule_test(choice.rule, kind, source)
    files = {
        "waybill.yaml": CONFIG_HEAD + _yaml(config),
        "rules/first.yaml": RULE_HEAD + _yaml([rule]),
        "rules/first.examples.yaml": TEST_HEAD + _yaml([test]),
    }
    sandbox = f"http://127.0.0.1:{choice.sandbox_port}"
    return {path: text.replace(SANDBOX, sandbox) for path, text in files.items()}


def variables(choice: StarterChoice, secret: str) -> dict[str, str]:
    """Return the values of all variables in waybill.yaml. `secret` is that of the source."""
    found = {TOKEN_VARIABLE: TOKEN, SECRET_VARIABLE: secret}
    preset = None if choice.preset == OWN_PRESET else load_preset(choice.preset)
    return found | ({VERIFY_VARIABLE: secret} if preset and "verify_token" in preset.requires else {})


CONFIG_HEAD = """\
# Starter configuration. Its platform is the sandbox of `waybill dev`: replace the addresses, and the values in .env.
# Check it with `waybill check`. Reference: docs/reference/configuration.md

"""
RULE_HEAD = "# The first rule. Test it with `waybill rules test`. Reference: docs/reference/rules.md\n\n"
TEST_HEAD = "# Tests of first.yaml: a record and the expected result. Run them with `waybill rules test`.\n\n"


def _account(kind: str, platform: StarterAccount) -> dict[str, Any]:
    if kind == CUSTOM:
        return platform.build(kind, f"{SANDBOX}/pack_cloud", "/v1/organizations/org_1")
    return platform.build(kind, f"{SANDBOX}/{kind}", MOCKS[kind].base_path)


def _source_name(choice: StarterChoice) -> str:
    return choice.platform.replace("_", "-") if choice.preset == OWN_PRESET else choice.preset


def _record_kind(choice: StarterChoice, platform: StarterAccount) -> str:
    """Return the record kind of the first rule: that of the preset, if the platform has it."""
    preset = None if choice.preset == OWN_PRESET else load_preset(choice.preset)
    default = preset.record if preset else None
    return default if default and default in platform.kinds else platform.kinds[0]


def _source(choice: StarterChoice, platform: StarterAccount, kind: str) -> dict[str, Any]:
    if choice.preset == OWN_PRESET:
        if platform.verify is None:
            fix = "choose a preset, such as standard-webhooks: waybill sources presets"
            raise ConfigError("--preset", "a custom platform has no deliveries of its own", fix)
        return {"verify": platform.verify, "envelope": "platform"}
    preset = load_preset(choice.preset)
    return {"preset": choice.preset, **_parameters(choice.preset, preset), **_record(preset, kind)}


def _parameters(name: str, preset: SenderPreset) -> dict[str, Any]:
    values: dict[str, Any] = {
        "secrets": [SECRET_REF],
        "url": f"{PUBLIC_URL}/webhooks/{name}",
        "verify_token": [VERIFY_REF],
    }
    return {parameter: values[parameter] for parameter in preset.requires}


def _record(preset: SenderPreset, kind: str) -> dict[str, Any]:
    return {"record": kind} if preset.record not in {None, kind} else {}


def _rule(rule: str, kind: str) -> dict[str, Any]:
    if rule == "short-receipt":
        return {
            "id": rule,
            "name": "Received less than ordered",
            "type": kind,
            "when": {
                "all": [
                    {"field": "status", "op": "eq", "value": "received"},
                    {
                        "any_of": "lines",
                        "where": {"field": "quantity_received", "op": "lt", "ref": "quantity_ordered"},
                    },
                ]
            },
            "actions": [{"id": "warn", "do": "log", "level": "warning", "message": "{id}: {quantity_missing} missing"}],
        }
    action: dict[str, Any] = {"id": "note", "do": "log", "message": f"{kind} {{id}} changed"}
    if rule == "http":
        action = {"id": "post", "do": "http", "url": f"{SANDBOX}/_sandbox/sink/first", "body": {kind: "{id}"}}
    return {"id": "first-rule", "name": f"Each change of a {kind}", "type": kind, "actions": [action]}


def _rule_test(rule: str, kind: str, source: str) -> dict[str, Any]:
    record: dict[str, Any] = {"id": "1"}
    if rule == "short-receipt":
        line = {"quantity_ordered": 10, "quantity_received": 8}
        record |= {"status": "received", "lines": [line]}
    return {
        "name": "the rule matches",
        "type": kind,
        "event": {"source": source, "change": "updated"},
        "record": record,
        "expect": {"matches": [_rule(rule, kind)["id"]]},
    }


def _yaml(value: object) -> str:
    return msgspec.yaml.encode(value).decode()
