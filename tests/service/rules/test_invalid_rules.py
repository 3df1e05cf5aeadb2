"""Invalid rules are rejected when a rulebook is loaded: errors with path, reason and fix, in bounded time."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.actions import load_actions
from service.errors import ConfigError, ConfigErrors
from service.mistakes import MISTAKES_MAX
from service.records import Customer
from service.rules import Rule, Rulebook, limits, read_rule_files, write_document
from service.rules.limits import ACTIONS_MAX, CONDITION_DEPTH_MAX, CONDITION_NODES_MAX, DOCUMENT_BYTES_MAX, RULES_MAX
from service.rules.rule_files import check_sources, find_rule_files
from tests.service.rules.rule_samples import compile_tree, rules_of

ACTIONS = load_actions()
LEAF = {"field": "status", "op": "eq", "value": "x"}
LINES = {"any_of": "lines", "where": LEAF}


def rejection(tree: Any, record: Any = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        compile_tree(tree, record) if record else compile_tree(tree)
    return caught.value


@pytest.mark.parametrize(
    ("tree", "path", "reason", "fix"),
    [
        ({"field": "statsu", "op": "exists"}, ".field", "no field 'statsu'", "did you mean status?"),
        ({"field": "supplier.nmae", "op": "exists"}, ".field", "no field", "did you mean supplier.name?"),
        ({"field": "status.length", "op": "exists"}, ".field", "status is a text and has no fields", "write status"),
        ({"field": "lines.price", "op": "exists"}, ".field", "lines is a list", "any_of: lines"),
        ({"field": "event.body", "op": "exists"}, ".field", "no field 'event.body'", "use one of"),
        ({"field": "__class__", "op": "exists"}, ".field", "no field", "raw."),
        ({"field": "id.__class__", "op": "exists"}, ".field", "id is a text", "write id"),
        ({"field": "raw", "op": "exists"}, ".field", "raw is not a field itself", "raw.status"),
        ({"field": "event", "op": "exists"}, ".field", "event is not a field itself", "event.source"),
        ({"field": "previous", "op": "changed"}, ".field", "previous is not a field itself", "previous.status"),
        ({"field": "previous.previous.status", "op": "exists"}, ".field", "only the record has", "of the record"),
        ({"field": "status..x", "op": "exists"}, ".field", "is not a valid field", "dots"),
        ({"field": "a" * 300, "op": "exists"}, ".field", "is not a valid field", "dots"),
        (LEAF | {"op": "equals"}, ".op", "no operator 'equals'", "did you mean eq?"),
        (LEAF | {"op": "EQ"}, ".op", "no operator 'EQ'", "did you mean eq?"),
        (LEAF | {"op": "=="}, ".op", "no operator '=='", "did you mean eq?"),
        (LEAF | {"op": ">="}, ".op", "no operator '>='", "did you mean ge?"),
        (LEAF | {"op": "lte"}, ".op", "no operator 'lte'", "did you mean le?"),
        (LEAF | {"op": "regex"}, ".op", "no operator 'regex'", "did you mean matches?"),
        (LEAF | {"op": "like no other"}, ".op", "no operator 'like no other'", "use one of"),
        (LEAF | {"op": "start_with"}, ".op", "no operator", "did you mean starts_with?"),
        ({"field": "status", "value": "x"}, ".op", "is missing", "use one of"),
        (LEAF | {"op": "lt"}, ".op", "lt does not work on status, a text", "amount, money, number"),
        ({"field": "status", "op": "before", "value": "x"}, ".op", "does not work on status", "timestamp"),
        ({"field": "supplier", "op": "eq", "value": "x"}, ".op", "does not work on supplier, a struct", ""),
        (LEAF | {"value": 5}, ".value", "5 is not a text", "in quotes"),
        (LEAF | {"value": True}, ".value", "true is not a text", "in quotes"),
        ({"field": "lines_count", "op": "gt", "value": "five"}, ".value", "'five' is not a number", "whole number"),
        ({"field": "raw.created", "op": "before", "value": "2026-01-01T00:00:00Z"}, ".op",
         "before does not work on raw.created, which is untyped", "use a field of kind date, timestamp"),
        ({"field": "lines", "op": "contains", "value": "a"}, ".op", "of lines are not text", "any_of: lines"),
        ({"field": "status", "op": "in", "ref": "lines"}, ".ref", "of lines are not text", "any_of: lines"),
        ({"field": "lines_count", "op": "gt", "value": "quantity_missing"}, ".value", "is not a number",
         "write ref: quantity_missing in place of value"),
        ({"field": "created_at", "op": "before", "value": "{updated_at}"}, ".value", "is not a timestamp",
         "write ref: updated_at"),
        (LEAF | {"value": None}, ".value", "null cannot be compared", "is_null"),
        ({"field": "status", "op": "eq"}, "", "eq requires a value", "add value"),
        (LEAF | {"ref": "id", "value": "x"}, ".value", "cannot be combined with ref", "remove"),
        (LEAF | {"op": "exists"}, ".value", "is not allowed with op: exists", "remove"),
        ({"field": "status", "op": "missing", "ref": "id"}, ".ref", "is not allowed with op: missing", "remove"),
        ({"field": "total.value", "op": "gt", "value": 100.0}, ".value", "is not an amount", '"100.00"'),
        ({"field": "total.value", "op": "gt", "value": "1" * 31}, ".value", "has too many digits", "30 digits"),
        ({"field": "total.value", "op": "gt", "value": 2**63}, ".value", "has too many digits", "18 digits"),
        ({"field": "total.value", "op": "gt", "value": "0." + "1" * 31}, ".value", "has too many digits", "30 digits"),
        ({"field": "total.value", "op": "gt", "value": "1e5"}, ".value", "is not an amount", '"100.00"'),
        ({"field": "total.value", "op": "gt", "value": True}, ".value", "is not an amount", '"100.00"'),
        ({"field": "lines_count", "op": "gt", "value": 2**63}, ".value", "has too many digits", "in quotes"),
        ({"field": "total", "op": "gt", "value": "100.00"}, ".value", "is not a money", "currency: EUR"),
        ({"field": "total", "op": "gt", "value": {"value": 1}}, ".value", "is not a money", "currency: EUR"),
        ({"field": "total", "op": "gt", "value": {"value": 1, "currency": "eur"}}, ".value", "is not a money", ""),
        (
            {"field": "created_at", "op": "before", "value": "2026-01-01T00:00"},
            ".value", "is not a timestamp", "offset",
        ),
        ({"field": "created_at", "op": "before", "value": "soon"}, ".value", "is not a timestamp", "offset"),
        ({"field": "created_at", "op": "within", "value": "2 days"}, ".value", "is not a duration", "48h"),
        ({"field": "created_at", "op": "within", "value": "999999w"}, ".value", "is too long", "3650d"),
        ({"field": "created_at", "op": "within", "ref": "updated_at"}, ".ref", "takes a literal only", "value"),
        ({"field": "status", "op": "in", "value": "open"}, ".value", "a list is required", "[one, two]"),
        ({"field": "status", "op": "in", "value": []}, ".value", "a list is required", "[one, two]"),
        ({"field": "status", "op": "in", "value": ["a", 5]}, ".value[1]", "is not a text", "quotes"),
        ({"field": "status", "op": "in", "value": ["a"] * 1001}, ".value", "1001 values", "split"),
        ({"field": "raw.x", "op": "eq", "value": [1]}, ".value", "is not a plain value", "text, a number"),
        ({"field": "raw.x", "op": "gt", "value": "100"}, ".value", "'100' is not a number", "without quotes"),
        ({"field": "raw.x", "op": "le", "value": True}, ".value", "le compares numbers", "without quotes"),
        ({"field": "raw.x", "op": "eq", "value": float("inf")}, ".value", "is not a plain value", "text, a number"),
        ({"field": "status", "op": "eq", "ref": "created_at"}, ".ref", "cannot be compared with status", "use a text"),
        ({"field": "status", "op": "in", "ref": "id"}, ".ref", "in takes a list, and id is a text", "use a list"),
        ({"field": "status", "op": "eq", "ref": "statsu"}, ".ref", "no field", "did you mean status?"),
        ({"field": "previous.lines", "op": "exists"}, ".field", "only a digest of lines is stored", "op: changed"),
        ({"field": "previous.supplier.name", "op": "exists"}, ".field", "only a digest", "op: changed"),
        ({"field": "previous.event.id", "op": "exists"}, ".field", "only the record has", "of the record"),
        ({"field": "event.source", "op": "changed"}, ".field", "only the record has a previous state", ""),
        ({"field": "status", "op": "changed", "value": "x"}, ".value", "not allowed with op: changed", "remove"),
        ({"field": "status", "op": "changed_to"}, "", "changed_to requires a value", "add value"),
        ({"field": "status", "op": "matches", "ref": "id"}, ".ref", "takes a literal only", "value"),
        ({"all": []}, ".all", "is empty", "at least one"),
        ({"any": [LEAF, {}]}, ".any[1]", "is not a condition", "use one of"),
        ({"all": [LEAF], "any": [LEAF]}, "", "all and any cannot be combined", "use one of"),
        ({"all": [LEAF], "op": "eq"}, ".op", "does not belong to all", "indentation"),
        ({"any_of": "lines"}, ".where", "requires a condition on the elements", "where"),
        ({"any_of": "status", "where": LEAF}, ".any_of", "status is a text, not a list", "lines"),
        ({"any_of": "lines", "where": LEAF}, ".where.field", "no field 'status'", "use one of"),
        ({"any_of": "lines", "where": LEAF, "min": 2}, ".min", "does not belong to any_of", "remove"),
        ({"any_of": "lines", "where": {"field": "quantity_ordered", "op": "changed"}}, ".where.field",
         "only the record has a previous state", "use a field of the record"),
        ({"count": "lines", "op": "contains", "value": 1}, ".op", "does not work on a count", "use eq"),
        ({"count": "lines", "op": "eq", "value": "1.5"}, ".value", "'1.5' is not a count", "whole number"),
        ({"count": "lines", "op": "eq", "value": "2"}, ".value", "'2' is not a count", "without quotes"),
        ({"count": "lines", "op": "eq"}, ".value", "is missing", "whole number"),
        ({"count": "lines", "op": "eq", "value": -1}, ".value", "is not a count", "whole number"),
        ({"count": "lines", "op": "eq", "ref": "lines_count"}, ".ref", "compared with a number", "value: 3"),
    ],
)  # fmt: skip
def test_error_in_condition_has_path_reason_and_fix(tree: Any, path: str, reason: str, fix: str) -> None:
    error = rejection(tree)
    assert error.path == f"rules[0].when{path}"
    assert reason in error.reason
    assert fix in error.fix


def test_amount_cannot_be_compared_with_plain_number() -> None:
    error = rejection({"field": "balance.value", "op": "gt", "ref": "orders_count"}, Customer)
    assert "orders_count is a number and cannot be compared with balance.value, an amount" in error.reason
    assert error.fix == "use an amount"


def test_literals_in_two_currencies_are_rejected() -> None:
    amounts = [{"value": 1, "currency": "EUR"}, {"value": 1, "currency": "USD"}]
    error = rejection({"field": "total", "op": "in", "value": amounts})
    assert "two currencies cannot be compared" in error.reason


def test_increased_on_personal_field_is_rejected() -> None:
    error = rejection({"field": "raw.phone", "op": "increased"})
    assert "only a digest of raw.phone is stored" in error.reason


def test_text_elements_have_no_fields() -> None:
    tree = {"any_of": "tags", "where": {"field": "name", "op": "exists"}}
    assert "have no field 'name'" in rejection(tree, Customer).reason


def test_lists_nest_at_most_twice() -> None:
    tree: Any = {"field": "$item", "op": "exists"}
    for _ in range(3):
        tree = {"any_of": "$item", "where": tree}
    tree["any_of"] = "raw.a"
    assert "nested deeper than 2" in rejection(tree).reason


def nested(levels: int) -> Any:
    tree: Any = LEAF
    for _ in range(levels - 1):
        tree = {"not": tree}
    return tree


def test_tree_at_the_limits_loads_and_one_above_is_rejected() -> None:
    compile_tree(nested(CONDITION_DEPTH_MAX))
    assert "nested deeper" in rejection(nested(CONDITION_DEPTH_MAX + 1)).reason
    compile_tree({"all": [LEAF] * (CONDITION_NODES_MAX - 1)})
    assert "more than 500 conditions" in rejection({"all": [LEAF] * CONDITION_NODES_MAX}).reason


@pytest.mark.parametrize(
    "when",
    [
        nested(100),
        {"all": [LEAF] * 10_000},
        {"field": "status", "op": "matches", "value": "(.{1,900}b){1,900}"},
        {"field": "status", "op": "in", "value": ["x"] * 100_000},
    ],
)
def test_oversized_rule_is_rejected_in_bounded_time(when: Any) -> None:
    document = msgspec.json.encode({"format": 1, "file_rules": [{"id": "r", "type": "customer", "when": when}]})
    document = document.replace(b'"status"', b'"email"')
    started = time.process_time()
    with pytest.raises(ConfigError, match=r"rules\[0\]"):
        Rulebook.load(document, load_actions())
    assert time.process_time() - started < 20  # a few milliseconds on an idle machine


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"", "is not a JSON document"),
        (b"\xff", "is not a JSON document"),
        (b"[]", "Expected `object`"),
        (b'{"format": 2}', "format 2 is not supported"),
        (b'{"format": 1, "rules": []}', "unknown field `rules`"),
        (b'{"format": 1, "file_rules": [{"id": "a b", "type": "customer"}]}', "matching regex"),
        (b'{"format": 1, "file_rules": [{"id": "a", "type": "order"}]}', "no record kind 'order'"),
        (b'{"format": 1, "file_rules": [{"id": "a", "type": "customer", "evnets": []}]}', "unknown field `evnets`"),
        (b'{"format": 1, "file_rules": [%b], "api_rules": [%b]}' % ((b'{"id": "a", "type": "customer"}',) * 2),
         "duplicate rule id a"),
        (b'{"format": 1, "file_rules": ' + b'[{"when":{"not":' + b'{"not":' * 100_000, "is not a JSON document"),
        (b" " * (DOCUMENT_BYTES_MAX + 1), "is larger than"),
    ],
)  # fmt: skip
def test_invalid_rulebook_document_is_rejected(document: bytes, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Rulebook.load(document, load_actions())
    assert reason in caught.value.reason


def test_documented_limits_match_the_code() -> None:
    page = (Path(__file__).parents[3] / "docs/reference/rules.md").read_text()
    documented = " ".join(page.partition("## Limits")[2].partition("## ")[0].split())
    for number, noun in (
        (limits.RULES_MAX, "rules"),
        (limits.ACTIONS_MAX, "actions of a rule"),
        (limits.CONDITION_NODES_MAX, "nodes"),
        (limits.LITERALS_MAX, "values of"),
        (limits.PATTERN_CHARS_MAX, "characters of a pattern"),
        (limits.ELEMENTS_MAX, "elements"),
        (limits.TEXT_BYTES_MAX // 1024, "KiB"),
        (limits.INPUTS_BYTES_MAX // 1024, "KiB of all inputs"),
        (limits.DOCUMENT_BYTES_MAX // 1024**2, "MiB"),
    ):
        assert f"{number:,} {noun}" in documented
    assert f"a depth of {limits.CONDITION_DEPTH_MAX}" in documented
    assert f"inside an element {limits.NESTED_ELEMENTS_MAX}" in documented


def test_number_of_rules_is_limited() -> None:
    rules = rules_of("- {id: r, type: customer}") * (RULES_MAX + 1)
    with pytest.raises(ConfigError, match="5001 rules, at most 5000"):
        write_document(rules)


def rule_with(actions: str) -> bytes:
    return write_document(rules_of(f"- {{id: r, type: purchase_order, actions: {actions}}}"))


@pytest.mark.parametrize(
    ("actions", "path", "reason", "fix"),
    [
        ("[{id: a, do: lgo, message: m}]", "actions[0].do", "no action 'lgo'", "did you mean log?"),
        ("[{id: a}]", "actions[0].do", "no action 'None'", "use one of"),
        ("[{id: a, do: log}]", "actions[0].message", "is missing", "add message"),
        ("[{id: a, do: http, url: 'https://a.example/', method: Patch}]", "actions[0].method", "Inv", "mean PATCH?"),
        ("[{id: a, do: log, message: m, colour: red}]", "actions[0].colour", "unknown key", "level, message"),
        ("[{id: a, do: log, message: m, level: loud}]", "actions[0].level", "Invalid enum value", "info, warning"),
        ("[{do: log, message: m}]", "actions[0].id", "is missing", "add id"),
        ('[{do: log, message: m, id: "a:b"}]', "actions[0].id", "required format", "letters"),
        ('[{do: log, message: m, id: "a.b"}]', "actions[0].id", "required format", "letters"),
        ("[{id: a, do: log, message: m}, {id: a, do: log, message: m}]", "actions[1].id", "duplicate action id a", ""),
        ('[{id: a, do: log, message: "{statsu}"}]', "actions[0].message", "no field", "did you mean status?"),
    ],
)
def test_error_in_action_has_path_reason_and_fix(actions: str, path: str, reason: str, fix: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Rulebook.load(rule_with(actions), load_actions())
    assert caught.value.path == f"rules[0].{path}"
    assert reason in caught.value.reason
    assert fix in caught.value.fix


def test_number_of_actions_is_limited() -> None:
    actions = ", ".join(f"{{id: a{number}, do: log, message: m}}" for number in range(ACTIONS_MAX + 1))
    with pytest.raises(ConfigError, match="more than 20 actions"):
        Rulebook.load(rule_with(f"[{actions}]"), load_actions())


RULE = "- {id: %s, type: purchase_order, when: {field: %s, op: exists}}\n"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            "id: r, type: customer, sources: []",
            ".sources: is empty, which would mean all. Fix: remove sources",
        ),
        ("id: r, type: customer, events: []", ".events: is empty, which would mean all. Fix: remove events"),
        (
            "id: r, type: order",
            ".type: no record kind 'order'. Fix: valid: customer, event, purchase_order;",
        ),
        (
            "id: r, type: customer, events: [update]",
            ".events[0]: Invalid enum value 'update'. Fix: did you mean updated?",
        ),
        ("type: customer", ".id: is missing. Fix: add id"),
        ("id: r, type: customer, evnets: []", ".evnets: unknown key. Fix: did you mean events?"),
        ("id: r, type: customer, when: {and: []}", ".when.and: unknown key. Fix: did you mean all?"),
        ("id: r, type: customer, when: {or: []}", ".when.or: unknown key. Fix: did you mean any?"),
        ("id: r, type: customer, when: {not: {feild: id}}", ".when.not.feild: unknown key. Fix: did you mean field?"),
    ],
)
def test_error_in_rule_file_suggests_a_fix(rule: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(f"- {{{rule}}}\n")
    with pytest.raises(ConfigError) as caught:
        read_rule_files([path], load_actions())
    named = "" if rule.startswith("type") else "rule r: "
    assert str(caught.value).startswith(f"{path}:1: {named}rules[0]{message}")


def test_error_contains_the_file(tmp_path: Path) -> None:
    path = tmp_path / "short.yaml"
    path.write_text(RULE % ("good", "status") + RULE % ("bad", "statsu"))
    with pytest.raises(ConfigError) as caught:
        read_rule_files([path], load_actions())
    error = caught.value
    assert (error.file, error.rule_id, error.path) == (str(path), "bad", "rules[1].when.field")
    assert error.line == path.read_text()[: path.read_text().index("statsu")].count("\n") + 1
    assert str(error).startswith(f"{path}:{error.line}: rule bad: rules[1].when.field: no field 'statsu'. Fix: ")


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        ("id: a", "", "is not a list of rules"),
        ("", "", "is not a list of rules"),
        ("- {id: a, id: b}", ":1: rule a: rules[0].id", "duplicate key"),
        ("- {id: a, type: order}", ":1: rule a: rules[0].type", "no record kind"),
        ("- [", ":1:", ""),
    ],
)
def test_file_without_valid_rules_is_rejected(tmp_path: Path, text: str, path: str, reason: str) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_rule_files([file], load_actions())
    assert str(caught.value).startswith(f"{file}{path}")
    assert reason in caught.value.reason


def test_rule_id_in_two_files_is_rejected(tmp_path: Path) -> None:
    paths = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    for path in paths:
        path.write_text(RULE % ("same", "status"))
    with pytest.raises(ConfigError, match=r"b\.yaml:[0-9]+: rule same: rules\[0\]\.id: .*also used in .*a\.yaml"):
        read_rule_files(paths, load_actions())


def test_pattern_without_matching_files_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.yaml").write_text(RULE % ("a", "status"))
    found = find_rule_files(["rules/*.yaml", str(tmp_path / "rules" / "a.yaml")], tmp_path)
    assert found == [tmp_path / "rules" / "a.yaml"]
    for pattern in ("rule/*.yaml", str(tmp_path / "none.yaml")):
        with pytest.raises(ConfigError, match="matches no file"):
            find_rule_files([pattern], tmp_path)


def test_unknown_source_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("- {id: a, type: customer, sources: [pack-orders, pack-order]}")
    with pytest.raises(ConfigError, match=r"sources\[1\]: no source 'pack-order'.*did you mean pack-orders"):
        read_rule_files([path], load_actions(), [partial(check_sources, ["pack-orders", "till"])])
    read_rule_files([path], load_actions(), [partial(check_sources, ["pack-orders", "pack-order"])])


MISTAKES = """
- {id: first, type: customer, evnets: [created], when: {all: [{field: emial, op: exists}, {field: email, op: exits}]}}
- {id: second, type: order}
- 7
- id: third
  type: purchase_order
  sources: [pack-order]
  sort: high
  when: {any: [{feild: id, op: eq}, {any_of: lines, where: {field: prise, op: exists}}]}
  actions: [{id: a, do: htp}, {id: b, do: log, level: loud, mesage: x}, {id: b, do: log, message: "{nope}"}]
"""


def test_all_mistakes_of_all_files_are_reported_at_once(tmp_path: Path) -> None:
    texts = {"a": MISTAKES, "b": "- [", "c": "id: x", "d": RULE % ("first", "status")}
    paths = [tmp_path / f"{name}.yaml" for name in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        path.write_text(text)
    with pytest.raises(ConfigErrors) as caught:
        read_rule_files(paths, load_actions(), [partial(check_sources, ["pack-orders"])])
    found = [
        ": ".join(filter(None, [Path(each.file).name, each.rule_id and f"rule {each.rule_id}", each.path]))
        for each in caught.value.mistakes
    ]
    assert found[:3] == [
        "a.yaml: rule first: rules[0].evnets",
        "a.yaml: rule first: rules[0].when.all[0].field",
        "a.yaml: rule first: rules[0].when.all[1].op",
    ]
    third = "a.yaml: rule third: rules[3]"
    assert found[3:] == [
        "a.yaml: rule second: rules[1].type", "a.yaml: rules[2]", f"{third}.sort", f"{third}.when.any[0].feild",
        f"{third}.when.any[1].where.field", f"{third}.actions[0].do", f"{third}.actions[1].level",
        f"{third}.actions[1].mesage",
        f"{third}.actions[1].message", f"{third}.actions[2].message", f"{third}.actions[2].id", f"{third}.sources[0]",
        found[-3], "c.yaml", "d.yaml: rule first: rules[0].id",
    ]  # fmt: skip
    assert found[-3].startswith("b.yaml")
    assert str(caught.value).count("\n") == len(found) - 1
    lines = [mistake.line for mistake in caught.value.mistakes]
    assert all(line is not None for line in lines[:-2])


UNDECODABLE = """
- id: both
  type: order
  events: [update, created]
  when:
    any:
      - {feild: id, op: eqq}
      - {field: nope, opp: eq, value: 1}
      - {any_of: lines, where: {fild: x, not: {any: [{field: status, op: wrong}, 7]}}}
      - {any_of: lines, where: {field: sku, op: is_bigger, ref: $root.nothing}}
      - {count: lines, op: contains, value: -1}
      - {all: [{field: status, op: eqls, value: 1}], any: [{field: status, op: is, value: 1}]}
  actions:
    - {do: log, message: "{oops}", level: loud}
    - {id: b, do: http, mehtod: GET, headers: {x: "{a.b}", y: "{"}, body: {n: "{c.d} {e.f}"}}
    - 7
- id: "not valid"
  type: purchase_order
  when: {all: [{field: statsu, op: eqq, ref: totl}, {any_of: linez, where: {field: sku, op: eqqq}}]}
  sort: {}
"""


def test_all_mistakes_in_keys_that_cannot_be_decoded_are_reported_at_once(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(UNDECODABLE)
    with pytest.raises(ConfigErrors) as caught:
        read_rule_files([path], load_actions(), [partial(check_sources, ["pack-orders"])])
    found = {mistake.path for mistake in caught.value.mistakes}
    any_ = "rules[0].when.any"
    assert found == {
        "rules[0].type", "rules[0].events[0]", f"{any_}[0].feild", f"{any_}[0].op", f"{any_}[1].opp",
        f"{any_}[1].field", f"{any_}[3].where.ref",
        f"{any_}[2].where.fild", f"{any_}[2].where.not.any[0].op", f"{any_}[2].where.not.any[1]", f"{any_}[3].where.op",
        f"{any_}[4].op", f"{any_}[4].value", f"{any_}[5]", f"{any_}[5].all[0].op", f"{any_}[5].any[0].op",
        "rules[0].actions[0].id", "rules[0].actions[0].level", "rules[0].actions[1].mehtod",
        "rules[0].actions[1].headers.x", "rules[0].actions[1].headers.y", "rules[0].actions[1].body.n",
        "rules[0].actions[0].message", "rules[0].actions[2]",
        "rules[1].id", "rules[1].sort", "rules[1].when.all[0].field", "rules[1].when.all[0].op",
        "rules[1].when.all[0].ref", "rules[1].when.all[1].any_of", "rules[1].when.all[1].where.op",
    }  # fmt: skip
    assert len(caught.value.mistakes) == len(found) + 1, "two fields in one template"


def test_mistakes_are_limited(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    for count in (MISTAKES_MAX, MISTAKES_MAX + 1):
        path.write_text("".join(RULE % (f"r{number}", "nothing") for number in range(count)))
        with pytest.raises(ConfigErrors) as caught:
            read_rule_files([path], load_actions())
        assert len(caught.value.mistakes) == MISTAKES_MAX


def test_too_many_conditions_are_one_mistake(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    conditions = ", ".join(["{field: id, op: exists}"] * (limits.CONDITION_NODES_MAX + 5))
    path.write_text(f"- {{id: r, type: customer, when: {{all: [{conditions}]}}}}\n")
    with pytest.raises(ConfigErrors) as caught:
        read_rule_files([path], load_actions())
    assert [mistake.reason for mistake in caught.value.mistakes] == [
        f"more than {limits.CONDITION_NODES_MAX} conditions in one rule"
    ]


TOKEN = "xoxb-0123456789-abcdef"


@pytest.mark.parametrize(
    ("part", "path"),
    [
        ({"when": {"field": "delivery.token", "op": "eq", "value": TOKEN}}, "when.value"),
        ({"when": {"any": [{"field": "status", "op": "in", "value": ["a", TOKEN]}]}}, "when.any[0].value[1]"),
        ({"actions": [{"id": "a", "do": "log", "message": f"see {TOKEN}"}]}, "actions[0].message"),
        ({"actions": [{"id": "a", "do": "publish", "stream": "s", "message": {"apiKey": "0123456789"}}]},
         "actions[0].message.apiKey"),
        ({"actions": [{"id": "a", "do": "slack", "destination": "chat", "text": f"{TOKEN}"}]}, "actions[0].text"),
    ],
)  # fmt: skip
def test_a_secret_anywhere_in_a_rule_is_rejected_without_being_printed(part: Any, path: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        Rulebook.load(write_document([msgspec.convert({"id": "r", "type": "purchase_order", **part}, Rule)]), ACTIONS)
    assert [mistake.path for mistake in caught.value.mistakes] == [f"rules[0].{path}"]
    assert not any(text in str(caught.value) for text in (TOKEN, "0123456789"))


def test_names_and_texts_that_are_no_secrets_are_accepted() -> None:
    body = {"token": "{delivery.token}", "password_reset": "required", "signature": "Warehouse", "api_key": "none"}
    actions = [
        {"id": "a", "do": "http", "url": "https://x.test/orders/550e8400-e29b-41d4-a716-446655440000", "body": body}
    ]
    rule = msgspec.convert({"id": "r", "type": "purchase_order", "actions": actions}, Rule)
    assert Rulebook.load(write_document([rule]), ACTIONS).rules
