"""`waybill check`: complete validation without connections."""

import contextlib
import io
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.actions import load_actions
from service.cli.check import check
from service.cli.mistakes_output import print_mistakes
from service.cli.rule_files import find_rule_warnings
from service.errors import ConfigError
from service.records import RECORDS
from service.rules import read_rule_files

ENVIRON = {
    "PACK_TOKEN": "t",
    "ENGAGE_ID": "i",
    "ENGAGE_SECRET": "s",
    "OFN_TOKEN": "t",
    "FLOW_TOKEN": "t",
    "ERP_KEY": "k",
    "PACK_SECRET": "new",
    "PACK_SECRET_OLD": "old",
    "ERP_WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "CLAIMS_TOKEN": "t",
    "CLAIMS_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "FLOW_PASSWORD": "p",
    "ENGAGE_TOKEN": "0123456789abcdef",
    "OFN_WEBHOOK_TOKEN": "fedcba9876543210",
}
DESTINATIONS = "destinations: # targets of actions; docs/reference/destinations.md\n"
RULE = """
- id: short-receipt
  name: Received less than ordered
  type: purchase_order
  when: {field: status, op: eq, value: received}
  actions: [{id: warn, do: log, level: warning, message: "{reference} is short"}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(Path(__file__).parents[3] / "docs/examples/waybill.yaml", tmp_path)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/one.yaml").write_text(RULE)
    return tmp_path


def run(folder: Path, *options: str, **environ: str) -> Result:
    path = str(folder / "waybill.yaml")
    return CliRunner().invoke(check, options, env=ENVIRON | {"WAYBILL_CONFIG": path} | environ)


def replace(folder: Path, old: str, new: str) -> None:
    path = folder / "waybill.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_every_error_is_printed_and_the_exit_code_is_2(folder: Path) -> None:
    replace(folder, "scheme: basic", "scheme: basik")
    replace(folder, "platform: pack\n", "platform: pakc\n")
    result = run(folder, WAYBILL_PROT="1")
    assert result.exit_code == 2
    assert "WAYBILL_PROT: unknown setting. Fix: did you mean WAYBILL_PORT?" in result.stderr
    assert "sources.flow-till.verify.scheme" in result.stderr
    assert "sources.pack-orders.platform: there is no platform pakc. Fix: did you mean pack?" in result.stderr
    assert result.stderr.endswith(f"waybill: 3 errors found; configuration file: {folder}/waybill.yaml\n")


def test_a_missing_secret_is_an_error(folder: Path) -> None:
    result = CliRunner().invoke(check, ["--config", str(folder / "waybill.yaml")], env=ENVIRON | {"FLOW_TOKEN": ""})
    assert result.exit_code == 2
    assert "platforms.flow.token: variable FLOW_TOKEN is empty" in result.stderr


def test_an_error_in_a_rule_file_is_printed_with_its_path(folder: Path) -> None:
    (folder / "rules/one.yaml").write_text(RULE.replace("status, op", "statuss, op"))
    result = run(folder)
    assert result.exit_code == 2
    assert "one.yaml:5: rule short-receipt: rules[0].when.field" in result.stderr


def test_an_unknown_source_in_a_rule_is_an_error(folder: Path) -> None:
    (folder / "rules/one.yaml").write_text(RULE.replace("  when:", "  sources: [pack-order]\n  when:"))
    result = run(folder)
    assert result.exit_code == 2
    assert "one.yaml:5: rule short-receipt: rules[0].sources[0]: no source 'pack-order'" in result.stderr
    assert "Fix: did you mean pack-orders?" in result.stderr


def test_mistakes_beside_a_destination_that_cannot_be_decoded_are_reported(folder: Path) -> None:
    wrong = (
        "{url: 5, auth: {type: bearer, token: {env: NOT_SET}}, limits: {in_flight: x}, idempotency: {header: X-Once}}"
    )
    others = "\n  two: {url: https://u:p@crm.test}\n  mail: {kind: email, host: a b, username: u, from: x@y.test}"
    replace(folder, DESTINATIONS, f"{DESTINATIONS}  one: {wrong}{others}\n")
    calls = '{id: a, do: http, destination: one, path: "/"}, {id: b, do: http, destination: tow, path: "/"}'
    (folder / "rules/one.yaml").write_text(RULE.replace("actions: [", f"actions: [{calls}, "))
    result = run(folder)
    assert result.exit_code == 2
    for mistake in (
        "destinations.one.url: ",
        "destinations.one.limits.in_flight: ",
        "destinations.one.auth.token: variable NOT_SET is not set",
        "destinations.two.url: contains a user name or password",
        "destinations.mail.host: ",
        "rules[0].actions[1].destination: no destination 'tow'",
    ):
        assert mistake in result.stderr
    assert "waybill: 6 errors found" in result.stderr


@pytest.mark.parametrize(
    ("header", "settings"),
    [
        ("x-once", "idempotency: {header: X-Once}"),
        ("X-Auth-User", "auth: {type: header, name: x-auth-user, value: {env: ERP_KEY}}"),
        ("X-Mac", "signature: {scheme: hmac, secret: {env: ERP_KEY}, header: X-Mac}"),
        ("Hook-Id", "signature: {scheme: standard_webhooks, secrets: [{env: CLAIMS_SECRET}], header_prefix: hook-}"),
    ],
)
def test_header_of_an_action_that_its_destination_replaces_is_an_error(
    folder: Path, header: str, settings: str
) -> None:
    replace(folder, DESTINATIONS, f"{DESTINATIONS}  one: {{url: https://one.test, {settings}}}\n")
    call = f'{{id: a, do: http, destination: one, path: "/", headers: {{{header}: "{{id}}", X-Other: a}}}}'
    (folder / "rules/one.yaml").write_text(RULE.replace("actions: [", f"actions: [{call}, "))
    result = run(folder)
    assert result.exit_code == 2
    assert f"rules[0].actions[0].headers.{header}: is set by the destination one" in result.stderr
    assert "waybill: 1 error found" in result.stderr


def test_an_action_with_a_private_address_is_a_warning(folder: Path) -> None:
    action = '{id: claim, do: http, url: "http://10.0.0.7:9410/claims/{id}"}'
    (folder / "rules/one.yaml").write_text(RULE.replace("actions: [", f"actions: [{action}, "))
    result = run(folder)
    assert result.exit_code == 0
    assert "one.yaml: short-receipt.claim: 10.0.0.7 is not a public address; to allow it" in result.stdout
    replace(folder, "allow_private_hosts: []", "allow_private_hosts: [10.0.0.7]")
    assert "not a public address" not in run(folder).stdout


def test_a_destination_with_a_private_address_is_a_warning(folder: Path) -> None:
    destination = "destinations:\n  till:\n    url: http://[::1]:9410/claims\n"
    replace(folder, "destinations: # targets of actions; docs/reference/destinations.md\n", destination)
    warning = "destinations.till.url: ::1 is not a public address; to allow it"
    assert warning in run(folder).stdout
    replace(folder, "9410/claims\n", "9410/claims\n    allow_private_host: true\n")
    assert warning not in run(folder).stdout


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("WAYBILL_REDIS_URL", "127.0.0.1:6379"),
        ("WAYBILL_REDIS_URL", "redis://127.0.0.1:64x9"),
        ("WAYBILL_TRUSTED_PROXIES", "10.0.0.0/8, everyone"),
    ],
)
def test_an_invalid_address_is_an_error(folder: Path, name: str, text: str) -> None:
    result = run(folder, **{name: text})
    assert result.exit_code == 2
    assert f"waybill: {name}: " in result.stderr
    assert "waybill: 1 error found; configuration file: " in result.stderr


def test_an_unknown_field_of_a_custom_record_is_an_error(folder: Path) -> None:
    replace(folder, "status: /state", "statuss: /state")
    result = run(folder)
    assert result.exit_code == 2
    assert "platforms.erp.records.purchase_order.map.statuss" in result.stderr


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.exit_code == 2
    assert "waybill.yaml: cannot be read" in result.stderr


def test_a_valid_configuration_is_listed_and_the_exit_code_is_0(folder: Path) -> None:
    replace(folder, "tolerance_seconds: 300", "tolerance_seconds: 0")
    result = run(folder)
    assert result.stderr == ""
    assert result.exit_code == 0
    assert "platform  pack  pack_cloud" in result.stdout
    assert "source    pack-orders  platform pack, verify hmac, envelope platform" in result.stdout
    assert "rule      short-receipt  purchase_order, " in result.stdout
    assert "warning   sources.erp-orders.verify: tolerance_seconds: 0" in result.stdout


def test_the_option_config_overrides_the_setting(folder: Path) -> None:
    result = run(folder, "--config", str(folder / "waybill.yaml"), WAYBILL_CONFIG="/nowhere.yaml")
    assert result.exit_code == 0


def test_rules_are_checked_beside_mistakes_in_the_configuration(folder: Path) -> None:
    (folder / "rules/one.yaml").write_text(RULE.replace("field: status", "field: statsu").replace("do: log", "do: lgo"))
    (folder / "rules/two.yaml").write_text("- {id: b, type: customer, sources: [pack-orders, pack-order]}")
    result = run(folder, PACK_TOKEN="", ERP_KEY="")
    assert result.exit_code == 2
    for text in (
        "platforms.pack.token",
        "platforms.erp.auth.value",
        "when.field: no field",
        "actions[0].do: no action",
    ):
        assert text in result.stderr
    assert "sources[1]: no source 'pack-order'" in result.stderr
    assert "sources[0]" not in result.stderr


def mixed(folder: Path) -> None:
    """Write two mistakes: one in waybill.yaml, one in a rule file."""
    replace(folder, "platform: pack\n", "platform: pakc\n")
    (folder / "rules/one.yaml").write_text(RULE.replace("status, op", "statuss, op"))


def test_mistakes_are_printed_as_json_with_file_and_line(folder: Path) -> None:
    mixed(folder)
    result = run(folder, "-o", "json")
    assert result.exit_code == 2
    first, second = json.loads(result.stdout)["mistakes"]
    line = (folder / "waybill.yaml").read_text().partition("platform: pakc")[0].count("\n") + 1
    assert first == {
        "file": f"{folder}/waybill.yaml", "line": line, "rule_id": None, "path": "sources.pack-orders.platform",
        "reason": "there is no platform pakc", "fix": first["fix"],
    }  # fmt: skip
    assert (second["file"], second["line"], second["rule_id"]) == (f"{folder}/rules/one.yaml", 5, "short-receipt")
    assert second["path"] == "rules[0].when.field"


def test_mistakes_are_printed_as_annotations_of_github(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    mixed(folder)
    result = run(folder, "-o", "github")
    assert result.exit_code == 2
    _, second = result.stdout.splitlines()
    assert second.startswith(
        "::error file=rules/one.yaml,line=5,title=rule short-receipt::rules[0].when.field: no field 'statuss'. Fix: "
    )


def test_symbols_in_annotations_are_escaped() -> None:
    error = ConfigError("a", "is 100%\nwrong", "x", file="b:,c.yaml", line=1)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        print_mistakes([error], ["one\ntwo"], "github")
    first, second, _ = printed.getvalue().split("\n")
    assert first == "::error file=b%3A%2Cc.yaml,line=1,title=waybill::a: is 100%25%0Awrong. Fix: x"
    assert second == "::warning title=waybill::one%0Atwo"


def test_mistakes_are_printed_as_sarif(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    mixed(folder)
    result = run(folder, "-o", "sarif")
    assert result.exit_code == 2
    log = json.loads(result.stdout)
    assert log["version"] == "2.1.0"
    [of_run] = log["runs"]
    identifiers = {rule["id"] for rule in of_run["tool"]["driver"]["rules"]}
    assert {each["ruleId"] for each in of_run["results"]} <= identifiers
    second = of_run["results"][1]
    assert second["level"] == "error"
    assert second["message"]["text"].startswith("rules[0].when.field: no field 'statuss'")
    place = second["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "rules/one.yaml"}, "region": {"startLine": 5}}


@pytest.mark.parametrize(
    ("node", "fix"),
    [
        ("{field: status, op: eq, value: reference}", "write ref: reference"),
        ('{field: status, op: eq, value: "{reference}"}', "write ref: reference"),
        ("{any_of: lines, where: {field: id, op: eq, value: product_code}}", "write ref: product_code"),
        ("{any_of: lines, where: {field: id, op: eq, value: supplier.name}}", "write ref: $root.supplier.name"),
    ],
)
def test_a_text_that_names_a_field_is_a_warning(tmp_path: Path, node: str, fix: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"- id: a\n  type: purchase_order\n  when: {node}\n")
    [found] = find_rule_warnings(read_rule_files([file], load_actions()), RECORDS)
    assert (found.file, found.line, found.rule_id) == (str(file), 3, "a")
    assert fix in found.fix


def test_a_rule_with_a_probable_mistake_is_a_warning(folder: Path) -> None:
    when = "{field: reference, op: eq, value: supplier.name}"
    (folder / "rules/one.yaml").write_text(RULE.replace("{field: status, op: eq, value: received}", when))
    result = run(folder)
    assert result.exit_code == 0, result.stderr
    assert "one.yaml:5: rule short-receipt: rules[0].when.value: 'supplier.name' is compared as a text" in result.stdout
    warned = json.loads(run(folder, "-o", "json").stdout)
    assert warned["mistakes"] == []
    assert "short-receipt" in {each["rule_id"] for each in warned["warnings"]}


def test_declared_kinds_are_listed_with_their_platforms(folder: Path) -> None:
    replace(folder, "\nplatforms:", "\nrecords:\n  shipment: {fields: {status: text, weight: decimal}}\n\nplatforms:")
    result = run(folder)
    assert result.exit_code == 0, result.stderr
    assert "record    shipment  2 fields, no platform has it\n" in result.stdout
    replace(folder, "      purchase_order: {", "      shipment: {path: '/s/{id}'}\n      purchase_order: {")
    assert "record    shipment  2 fields, from erp\n" in run(folder).stdout
