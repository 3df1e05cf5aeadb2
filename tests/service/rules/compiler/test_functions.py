"""Functions: what is rejected when a rule is loaded, what a bad value does, and limits."""

import contextlib
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ConfigError
from service.records import Money, PurchaseOrder
from service.rules import Rulebook, Subject, Trace
from service.rules.compiler.arguments import Argument, Arguments, Call
from service.rules.compiler.function_values import FunctionError, format_decimal
from service.rules.compiler.functions import FUNCTIONS, resolve_expression
from service.rules.compiler.templates import RenderError
from service.rules.fields import Field, FieldScope
from service.rules.limits import ELEMENTS_MAX, EXPRESSION_CHARS_MAX
from service.rules.scope import Scope
from tests.service.rules.compiler.test_templates import error_of, render
from tests.service.rules.rule_samples import NOW, book, compile_tree, line, order, subject, truth

RAW: dict[str, Any] = {
    "text": " Äb ", "number": 12, "decimal": Decimal("2.345"), "money": {"value": "9.95", "currency": "EUR"},
    "at": "2026-03-28T12:00:00+01:00", "prices": [Decimal("1.1"), 2], "mixed": [1, "two"], "nan": Decimal("NaN"),
    "huge": Decimal("1e999999"), "rows": [{"sku": "A"}, {"sku": None}, {}], "empty": [], "null": None,
}  # fmt: skip


def value(expression: str, record: PurchaseOrder | None = None) -> Any:
    field = resolve_expression(expression, FieldScope(PurchaseOrder, {}), "at")
    return field.read(Scope.of(subject(record, raw=RAW), NOW))


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{status | uper}", "no function 'uper'. Fix: did you mean upper?"),
        ("{status | __class__}", "no function '__class__'"),
        ("{status |}", "ends too early"),
        ("{status | upper upper}", "in place of '|'"),
        ("{status | (2)}", "in place of the name of a function"),
        ("{status | upper(2)}", "'2' is one argument too many"),
        ("{status | default('x}", "close the quotes"),
        ("{status | default}", "default: a value is missing. Fix: write default(VALUE)"),
        ("{status | default(,)}", "in place of an argument"),
        ("{status | default(" + ",".join("1" * 32) + ")}", "more than 30 arguments"),
        ("{status | format(2)}", "format does not work on status, a text"),
        ("{total | upper}", "upper does not work on total, a money"),
        ("{total | format(11)}", "is not a number from 0 to 10"),
        ("{total | format(-1)}", "is not a number from 0 to 10"),
        ("{total | format(2, '....')}", "more than 3 characters"),
        ("{total | default(0)}", "such as default('0.00 EUR')"),
        ("{quantity_ordered | default(none)}", "'none' is not a number"),
        ("{created_at | default(soon)}", "is not a timestamp"),
        ("{created_at | date}", "a format is missing"),
        ("{created_at | date('%A')}", "%A is not one of %Y"),
        ("{created_at | date('%')}", "% is not one of"),
        ("{created_at | date('%Y', Oslo)}", "there is no time zone 'Oslo'"),
        ("{created_at | date('%Y', '../../etc/passwd')}", "there is no time zone"),
        ("{raw.at | date('%Y')}", "a cast before it gives a value a kind: decimal, money or moment"),
        ("{created_at | shift(2)}", "'2' is not a duration"),
        ("{created_at | shift(4000d)}", "is too long"),
        ("{lines | sum(price.value)}", "use sum(price)"),
        ("{lines | sum(product_code)}", "product_code is a text, not one of"),
        ("{lines | sum(quantity)}", "no field 'quantity'"),
        ("{lines | sum($root.total)}", "only fields of the elements are possible"),
        ("{lines | sum(quantity_ordered | default(0))}", "in place of ','"),
        ("{lines | join}", "$item is a struct, not a text"),
        ("{lines | map(product_code)}", "names are required"),
        ("{lines | map()}", "names are required"),
        ("{lines | map(a: id, a: id)}", "two names are equal"),
        ("{lines | map(a-b: id)}", "is not a valid name"),
        ("all: {lines | map(a: id)}", "cannot be inserted into text"),
        ("{status | upper | lower | upper | lower | upper | lower}", "has 6 functions, at most 5"),
        ("{status | default('" + "x" * EXPRESSION_CHARS_MAX + "')}", "is longer than 1000 characters"),
    ],
)
def test_an_invalid_expression_is_rejected(template: str, reason: str) -> None:
    assert reason in error_of(template)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("raw.number | upper", "is not a text"),
        ("raw.number | length", "is neither a text nor a list"),
        ("raw.text | format(2)", "is not a number"),
        ("raw.nan | format(2)", "is not a number"),
        ("raw.huge | format(2)", "has too many digits"),
        ("raw.text | decimal", "cannot be cast to decimal"),
        ("raw.text | moment", "cannot be cast to moment"),
        ("raw.text | sum", "is not a list"),
        ("raw.mixed | sum", "is not a number"),
        ("raw.mixed | join", None),
        ("raw.empty | min", None),
        ("raw.null | upper", None),
        ("raw.nothing | upper", None),
    ],
)
def test_a_bad_value_is_an_error_of_a_template_and_unknown_in_a_comparison(expression: str, reason: str | None) -> None:
    evaluated = subject(raw=RAW)
    if reason is None:
        render(f"{{{expression}}}", evaluated)
        return
    with pytest.raises(RenderError, match=reason) as caught:
        render(f"{{{expression}}}", evaluated)
    assert "Äb" not in str(caught.value)
    assert truth({"field": expression, "op": "exists"}, evaluated) is False


def test_an_unknown_comparison_names_the_expression() -> None:
    rules = book("- {id: a, type: purchase_order, when: {field: raw.number | upper, op: eq, value: X}}")
    [verdict] = rules.evaluate(subject(raw=RAW), NOW).verdicts
    assert (verdict.result, verdict.reason) == ("unknown", "raw.number | upper is missing, at when")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("raw.text | trim | upper", "ÄB"),
        ("raw.decimal | format(2)", "2.35"),
        ("raw.decimal | format(0)", "2"),
        ("raw.number | format(2)", "12.00"),
        ("raw.money | money | format(1)", "10.0 EUR"),
        ("raw.prices | sum", Decimal("3.1")),
        ("raw.prices | join('|')", "1.1|2"),
        ("raw.rows | join(', ', sku)", "A"),
        ("raw.rows | map(sku: sku)", [{"sku": "A"}, {"sku": None}, {"sku": None}]),
        ("raw.empty | sum", 0),
        ("raw.nothing | default(1.5)", Decimal("1.5")),
        ("raw.nothing | default('1.5')", "1.5"),
        ("raw.nothing | default(false)", False),
        ("raw.null | default(x) | upper", "X"),
        ("raw.at | moment | shift(1d) | date('%H:%M', Europe/Oslo)", "13:00"),
        ("raw.at | moment | shift(1d, Europe/Oslo) | date('%H:%M', Europe/Oslo)", "12:00"),
        ("raw.at | moment | shift(-90m) | date('%s')", "1774690200"),
        ("created_at | date('%j %G-W%V-%u %y%%%z')", "032 2026-W05-7 26%+0000"),
        ("supplier.reference | default('')", ""),
        ("total | default('0 EUR')", Money(Decimal("150.00"), "EUR")),
    ],
)
def test_a_function_gives_its_value(expression: str, expected: Any) -> None:
    assert value(expression) == expected


def test_sums_of_two_currencies_and_of_absent_values_are_no_numbers() -> None:
    two = order(lines=(line(), line(currency="NOK")))
    with pytest.raises(FunctionError, match="several currencies"):
        value("lines | sum(price)", two)
    assert truth({"field": "lines | sum(price)", "op": "exists"}, subject(two)) is False
    absent = subject(order(lines=(line(), line(None))))
    assert truth({"field": "lines | sum(quantity_ordered)", "op": "gt", "value": 1}, absent) is None


def test_a_list_above_the_limit_is_rejected_and_one_at_the_limit_is_not() -> None:
    lines = (line(1, 1),) * ELEMENTS_MAX
    assert value("lines | sum(quantity_ordered)", order(lines=lines)) == ELEMENTS_MAX
    with pytest.raises(FunctionError, match="more than 10000 elements"):
        value("lines | sum(quantity_ordered)", order(lines=(*lines, line())))


def test_lists_inside_nested_lists_have_no_functions() -> None:
    inner: dict[str, Any] = {"any_of": "sub", "where": {"field": "sub | sum", "op": "gt", "value": 1}}
    with pytest.raises(ConfigError, match="nested too deeply"):
        compile_tree({"any_of": "raw.rows", "where": inner})
    where = {"field": "sub | sum", "op": "gt", "value": 1}
    assert truth({"any_of": "raw.rows", "where": where}, subject(raw={"rows": [{"sub": [1, 2]}]})) is True


def test_amounts_in_expressions_are_not_compared_across_currencies() -> None:
    with pytest.raises(ConfigError, match="use the money itself"):
        compile_tree({"field": "total.value | default(0)", "op": "gt", "ref": "total.value"})


def test_personal_values_stay_masked_after_a_function() -> None:
    evaluated, trace = subject(), Trace()
    compile_tree({"field": "supplier.name | upper", "op": "eq", "value": "ACME"}).truth(evaluated, trace=trace)
    assert (trace.steps[0].actual, trace.steps[0].field) == ("***", "supplier.name | upper")
    assert render("by {supplier.name | upper}", evaluated, "log") == "by ***"
    joined = subject(raw={"people": [{"email": "ann@example.org"}]})
    assert render("to {raw.people | join(',', email)}", joined, "log") == "to ***"


def test_the_result_of_a_function_can_be_compared_with_the_previous_one() -> None:
    rules = book(
        "- {id: a, type: purchase_order, when: {field: lines | sum(quantity_missing), op: increased},"
        ' actions: [{id: x, do: log, message: "{status}"}]}'
    )
    before = rules.previous_fields(subject(order(lines=(line(5, 4),))))
    assert before == {"lines | sum(quantity_missing)": ["number", "1"]}
    [verdict] = rules.evaluate(subject(previous=before), NOW).verdicts
    assert verdict.result == "matched"


def test_a_function_of_a_list_is_computed_once_for_all_rules() -> None:
    evaluated = subject()
    rule = "- {id: NAME, type: purchase_order, when: {field: lines | sum(quantity_missing), op: gt, value: 0}}\n"
    rules: Rulebook = book(rule.replace("NAME", "a") + rule.replace("NAME", "b"))
    assert {each.result for each in rules.evaluate(evaluated, NOW).verdicts} == {"matched"}
    assert evaluated.known["lines | sum(quantity_missing)"] == 3
    seen = Subject(evaluated.event, evaluated.record, known={"lines | sum(quantity_missing)": 0})
    assert {each.result for each in rules.evaluate(seen, NOW).verdicts} == {"unmatched"}


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12), max_value=10**12))
def test_a_formatted_number_differs_by_half_of_the_last_place_at_most(number: Decimal) -> None:
    text = format_decimal(number, 2, ".", ",")
    parsed = Decimal(text.replace(",", ""))
    assert abs(parsed - number) <= Decimal("0.005")
    assert not text.startswith("-0.00")


@given(st.text(max_size=60))
def test_no_text_after_a_field_raises_anything_but_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        resolve_expression(f"status | {text}", FieldScope(PurchaseOrder, {}), "at")


def test_a_date_is_shifted_by_days_and_formatted_without_a_time() -> None:
    fields = FieldScope(PurchaseOrder, {})
    field = Field("due_on", "date", lambda _: date(2026, 1, 31), rooted=True)

    def call(name: str, *texts: str) -> Any:
        arguments = Arguments(Call(name, tuple(Argument(text) for text in texts), name), "…", fields, "at")
        return FUNCTIONS[name].compile(field, arguments).read(None)

    assert call("shift", "1d") == date(2026, 2, 1)
    assert call("date", "%d.%m.%Y") == "31.01.2026"
    with pytest.raises(ConfigError, match="by d and w only"):
        call("shift", "1h")
    with pytest.raises(ConfigError, match="%H is not one of"):
        call("date", "%H")


def test_moments_at_the_ends_of_the_calendar_are_errors() -> None:
    last = order(created_at=datetime(9999, 12, 31, 23, tzinfo=UTC))
    for expression in ("created_at | shift(2h)", "created_at | date('%H', Asia/Tokyo)"):
        with pytest.raises(FunctionError, match=r"past|range"):
            value(expression, last)
