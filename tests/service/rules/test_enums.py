"""Check of rules against the documented values of enumerations of the platforms."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.cli.rules import rules
from service.config.platforms import BuiltInPlatformConfig
from service.platforms.registry import PLATFORMS
from service.rules.enums import PlatformValues, check_enums
from tests.service.rules.rule_samples import rules_of

BUILT_IN = {kind.name: kind.config for kind in PLATFORMS.values() if issubclass(kind.config, BuiltInPlatformConfig)}
PACK = {"pack": BUILT_IN["pack_cloud"].enums["purchase_order"]}
FLOW = {"flow": BUILT_IN["flow_retail"].enums["purchase_order"]}
ENGAGE = {"engage": BUILT_IN["pexip_engage"].enums["customer"]}
STATUSES = "canceled, completed, created, expected, ordered, received, receiving"


def mistakes(when: str, platforms: PlatformValues, kind: str = "purchase_order") -> list[str]:
    (rule,) = rules_of(f"- {{id: a, type: {kind}, when: {when}}}")
    return [f"{each.path}: {each.reason}. {each.fix}" for each in check_enums(rule, "rules[0]", platforms)]


@pytest.mark.parametrize(
    ("when", "at", "value", "near"),
    [
        ("{field: status, op: in, value: [recieved, canceled]}", "value[0]", "recieved", "received"),
        ("{field: status, op: not_in, value: [received, cancelled]}", "value[1]", "cancelled", "canceled"),
        ("{field: status, op: changed_to, value: complete}", "value", "complete", "completed"),
        ("{field: previous.status, op: ne, value: orderd}", "value", "orderd", "ordered"),
        ("{field: raw.status, op: changed_from, value: create}", "value", "create", "created"),
        ("{all: [{not: {field: status, op: eq, value: expectd}}]}", "all[0].not.value", "expectd", "expected"),
        ("{any_of: lines, where: {field: $root.status, op: eq, value: x}}", "where.value", "x", ""),
        ("{field: status, op: eq, value: shipped}", "value", "shipped", ""),
    ],
)
def test_an_undocumented_status_is_reported_with_the_nearest(when: str, at: str, value: str, near: str) -> None:
    (mistake,) = mistakes(when, PACK)
    path = "raw.status" if "raw" in when else "status"
    hint = f"did you mean {near}? " if near else ""
    reason = f"{value!r} is not a documented value of {path} on pack"
    assert mistake == f"rules[0].when.{at}: {reason}. {hint}valid: {STATUSES}"


@pytest.mark.parametrize(
    ("when", "near"),
    [
        ("{any_of: raw.events, where: {field: category, op: eq, value: eror}}", "error"),
        ("{any_of: raw.lines, where: {field: product.type, op: eq, value: virtual-bundle}}", "virtual_bundle"),
        ("{field: raw.lines.0.product.weight.unit, op: eq, value: lb}", "lbs"),
        ("{count: raw.lines, where: {field: product.dimensions.unit, op: ne, value: ccm}, op: ge, value: 1}", "cm"),
    ],
)
def test_values_inside_lists_are_checked(when: str, near: str) -> None:
    (mistake,) = mistakes(when, PACK)
    assert f"did you mean {near}?" in mistake


@pytest.mark.parametrize(("platform", "kind"), [(name, kind) for name, each in BUILT_IN.items() for kind in each.enums])
def test_every_documented_value_is_accepted(platform: str, kind: str) -> None:
    values = BUILT_IN[platform].enums[kind]
    for path, known in values.items():
        above, _, field = path.rpartition("[].")
        node = f"{{field: {field}, op: in, value: {list(known)}}}"
        for name in reversed(above.split("[].") if above else []):
            node = f"{{any_of: {name}, where: {node}}}"
        assert mistakes(node, {platform: values}, kind) == []
        assert len(mistakes(node.replace(str(list(known)), "[undocumented]"), {platform: values}, kind)) == 1


def test_other_operators_fields_and_kinds_are_not_checked() -> None:
    for when in (
        "{field: status, op: starts_with, value: rec}",
        "{field: status, op: eq, ref: raw.status}",
        "{field: reference, op: eq, value: recieved}",
        "{field: lines_count, op: in, value: [1, 2]}",
        "{any_of: lines, where: {field: product_code, op: eq, value: recieved}}",
    ):
        assert mistakes(when, PACK) == []
    assert mistakes("{field: language, op: eq, value: dk}", ENGAGE, "customer")
    assert (
        mistakes(
            "{field: language, op: eq, value: sv}",
            ENGAGE | {"ofn": BUILT_IN["open_food_network"].enums["customer"]},
            "customer",
        )
        == []
    )


def test_a_platform_without_documented_values_allows_others_but_no_misspelling() -> None:
    when = "{field: status, op: eq, value: %s}"
    assert mistakes(when % "SENT", PACK | FLOW) == []
    assert len(mistakes(when % "cancelled", PACK | FLOW)) == 1
    assert mistakes(when % "cancelled", PACK | {"shop": None}) == [], "the shop may have this status"
    assert mistakes(when % "cancelled", FLOW) == []


RULES = "- {id: a, type: purchase_order%s, when: {field: status, op: in, value: [recieved, cancelled]}}\n"
CONFIG = """
platforms:
  pack: {kind: pack_cloud, organization_id: o, token: {env: TOKEN}%s}
  shop:
    kind: custom
    base_url: https://shop.example.com
    auth: {type: none}
    records: {purchase_order: {path: "/orders/{id}"}}
sources:
  pack: {platform: pack, verify: {scheme: basic, username: till, password: {env: TOKEN}}}
rules: [rules.yaml]
"""


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., Result]:
    def run(rule_text: str, config: str | None, *words: str, token: str = "t" * 32) -> Result:
        (tmp_path / "rules.yaml").write_text(rule_text)
        (tmp_path / "waybill.yaml").unlink(missing_ok=True)
        if config is not None:
            (tmp_path / "waybill.yaml").write_text(config)
        environ = {"WAYBILL_CONFIG": str(tmp_path / "waybill.yaml"), "TOKEN": token}
        return CliRunner(env=environ).invoke(rules, ["check", *(word.format(tmp_path) for word in words)])

    return run


def test_rules_check_reports_a_misspelled_status(check: Callable[..., Result]) -> None:
    file = "{}/rules.yaml"
    without = check(RULES % "", None, file)
    assert without.exit_code == 2
    assert "rules[0].when.value[0]: 'recieved' is not a documented value of status on pack_cloud" in without.stderr
    assert "did you mean received?" in without.stderr
    assert check(RULES % "", CONFIG % "", file).exit_code == 0, "the shop may have these statuses"
    assert check(RULES % ", sources: [pack]", CONFIG % "", file).exit_code == 2
    assert "recieved" in check(RULES % ", sources: [pack]", CONFIG % "").stderr
    mapped = CONFIG % ", map: {purchase_order: {status: /state}}"
    assert check(RULES % ", sources: [pack]", mapped, file).exit_code == 0, "another field than the documented one"
    incomplete = check(RULES % ", sources: [pack]", CONFIG % "", file, token="")
    assert incomplete.exit_code == 2
    assert "recieved" in incomplete.stderr, "a missing secret does not hide mistakes of the rules"
