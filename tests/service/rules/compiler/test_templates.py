"""Templates: allowed fields, format of values, and errors when a rulebook is loaded and when a template is rendered."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from service.errors import ConfigError
from service.mistakes import Mistakes
from service.records import Money, PurchaseOrder, RecordType
from service.rules import Subject
from service.rules.compiler.templates import Render, RenderError, Style, Template
from service.rules.fields import FieldScope
from service.rules.scope import Scope
from tests.service.rules.rule_samples import NOW, customer, order, subject


def compile_template(template: Any, style: Style = "json", record: RecordType = PurchaseOrder) -> Render:
    mistakes = Mistakes()
    compiled = Template(FieldScope(record, {}), mistakes)("body", template, style)
    mistakes.raise_all()
    return compiled


def render(template: Any, evaluated: Subject | None = None, style: Style = "json") -> Any:
    evaluated = evaluated or subject()
    return compile_template(template, style, type(evaluated.record))(Scope.of(evaluated, NOW))


def error_of(template: Any, style: Style = "json", record: RecordType = PurchaseOrder) -> str:
    with pytest.raises(ConfigError) as caught:
        compile_template(template, style, record)
    return str(caught.value)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{statsu}", "did you mean status?"),
        ("{status.__class__}", "has no fields"),
        ("{__globals__}", "no field"),
        ("{0}", "no field"),
        ("{}", "is not a valid field"),
        ("{status!r}", "no field"),
        ("{status:>9999999}", "no field"),
        ("{event.body}", "no field"),
        ("{event.headers.secret}", "no field"),
        ("{status", "unmatched"),
        ("status}", "unmatched"),
        ("{status}}", "unmatched"),
        ("{a{b}}", "unmatched"),
        ("all: {lines}", "cannot be inserted into text"),
        ("by {supplier}", "cannot be inserted into text"),
        ("{previous.supplier.name}", "only a digest"),
        ("x" * 70_000, "longer than 65536"),
        (["{id}"] * 501, "more than 500 values"),
    ],
)
def test_invalid_template_is_rejected(template: Any, reason: str) -> None:
    assert reason in error_of(template)


def test_deeply_nested_template_is_rejected_without_recursion() -> None:
    deep: Any = "{id}"
    for _ in range(100_000):
        deep = [deep]
    assert "levels" in error_of(deep)


def test_error_contains_the_path_in_the_template() -> None:
    assert error_of({"a": ["x", {"b": "{statsu}"}]}).startswith("body.a[1].b: no field 'statsu'")


def test_values_of_fields_are_inserted_into_text() -> None:
    assert render("{reference}: {quantity_missing} units of {total} missing") == "PO-1: 3 units of 150.00 EUR missing"
    assert render("{{{id}}} {event.id} {event.type}") == "{po_1} e1 order.updated"
    evaluated = subject(order(created_at=datetime(2026, 2, 1, tzinfo=UTC)), previous={"status": "open"})
    assert render("{created_at} {previous.status}", evaluated) == "2026-02-01T00:00:00Z open"
    assert render("{raw.a} {raw.b} {raw.c}", subject(raw={"a": True, "b": Decimal("1.50")})) == "true 1.50 "


def test_single_placeholder_keeps_the_type() -> None:
    raw = {"n": 5, "d": Decimal("1.50"), "flag": False, "deep": {"x": [Decimal("0.10"), None]}}
    body = {
        "n": "{raw.n}", "d": "{raw.d}", "flag": "{raw.flag}", "deep": "{raw.deep}", "gone": "{raw.gone}",
        "at": "{created_at}", "total": "{total}", "kept": [1, None, True, "x", 1.5],
    }  # fmt: skip
    assert render(body, subject(raw=raw)) == {
        "n": 5, "d": 1.5, "flag": False, "deep": {"x": [0.1, None]}, "gone": None,
        "at": "2026-02-01T00:00:00Z", "total": {"value": 150, "currency": "EUR"},
        "kept": [1, None, True, "x", 1.5],
    }  # fmt: skip
    assert render(body, subject(raw=raw), "json_text") == {
        "n": "5", "d": "1.50", "flag": False, "deep": {"x": ["0.10", None]}, "gone": None,
        "at": "2026-02-01T00:00:00Z", "total": {"value": "150.00", "currency": "EUR"},
        "kept": [1, None, True, "x", 1.5],
    }  # fmt: skip


NUMBERS = st.integers(-(2**80), 2**80) | st.decimals(allow_nan=False, allow_infinity=False)


@given(st.recursive(NUMBERS, lambda inner: st.lists(inner, max_size=3), max_leaves=4))
def test_the_json_type_of_a_number_depends_on_the_style_only(value: Any) -> None:
    evaluated = subject(raw={"x": value})

    def check(rendered: Any, original: Any, types: tuple[type, ...]) -> None:
        if isinstance(original, list):
            items = cast("list[Any]", original)
            for part, item in zip(rendered, items, strict=True):
                check(part, item, types)
            return
        assert type(rendered) in types
        assert Decimal(str(rendered)) == original

    check(render("{raw.x}", evaluated, "json_text"), value, (str,))
    try:
        rendered = render("{raw.x}", evaluated)
    except RenderError as error:
        assert "json: text" in str(error)  # noqa: PT017 - most numbers can be rendered
    else:
        check(msgspec.json.decode(msgspec.json.encode(rendered)), value, (int, float))


@pytest.mark.parametrize(
    "value", [3, Decimal(3), Decimal("3.0"), Decimal("2.5"), Decimal("-0"), 2**63, Decimal("1e22")]
)
def test_a_quantity_is_a_number_in_each_form_that_a_platform_sends(value: Any) -> None:
    assert type(render("{raw.x}", subject(raw={"x": value}))) in {int, float}


@pytest.mark.parametrize("value", [2**64, Decimal("0.12345678901234567890"), Decimal("1e999999"), Decimal("1e-400")])
def test_a_number_with_too_many_digits_is_an_error_and_no_other_number(value: Any) -> None:
    with pytest.raises(RenderError, match=r"raw\.x has more digits than a JSON number keeps; write json: text"):
        render(["{raw.x}"], subject(raw={"x": value}))


def test_list_and_struct_are_rendered_as_plain_data() -> None:
    rendered = render({"lines": "{lines}", "supplier": "{supplier}"})
    assert rendered["supplier"] == {"id": "s1", "name": "Acme"}
    assert [line["quantity_received"] for line in rendered["lines"]] == [5, 7]


def test_log_messages_mask_personal_fields() -> None:
    evaluated = subject(customer(balance=Money(Decimal(5), "EUR")), raw={"Email": "a@b.c", "plan": "gold"})
    text = "{id} {first_name} {email} {raw.Email} {raw.plan} {balance}"
    assert render(text, evaluated, "log") == "c1 *** *** *** gold 5 EUR"
    assert render("{first_name}", evaluated, "log") == "***"
    assert render("{first_name}", evaluated) == "Ann"


@pytest.mark.parametrize("absent", [UNSET, None])
def test_absent_value_is_empty_in_text_null_in_json_and_an_error_in_urls(absent: Any) -> None:
    evaluated = subject(order(reference=absent))
    assert render("[{reference}]", evaluated) == "[]"
    assert render("{reference}", evaluated) is None
    for style in ("url", "header"):
        with pytest.raises(RenderError, match="reference is missing"):
            render("https://x.test/{reference}", evaluated, style)


def test_values_cannot_change_the_path_of_a_url() -> None:
    evil = subject(order(reference="../admin?x=1#é /"))
    assert render("https://x.test/{reference}", evil, "url") == "https://x.test/..%2Fadmin%3Fx%3D1%23%C3%A9%20%2F"
    for text in ("..", ".", ""):
        with pytest.raises(RenderError, match="would change the path"):
            render("https://x.test/a/{reference}/b", subject(order(reference=text)), "url")


@pytest.mark.parametrize("text", ["a\r\nHost: evil", "a\x00", "a\x7f"])
def test_values_cannot_inject_headers(text: str) -> None:
    with pytest.raises(RenderError, match="characters that a header does not allow"):
        render("{reference}", subject(order(reference=text)), "header")


def test_rendered_text_and_data_are_limited() -> None:
    for raw in ({"x": "a" * 70_000}, {"x": ["a"] * 70_000}):
        with pytest.raises(RenderError, match="larger than"):
            render("{raw.x}", subject(raw=raw))
    with pytest.raises(RenderError, match="longer than"):
        render("x{raw.x}", subject(raw={"x": "a" * 70_000}))
    with pytest.raises(RenderError, match="longer than"):
        render("{raw.x}" * 10, subject(raw={"x": "a" * 9_000}))
    with pytest.raises(RenderError, match="neither text nor a number"):
        render("x{raw.x}", subject(raw={"x": ["a"]}))
    with pytest.raises(RenderError, match="neither text nor a number"):
        render("x{raw.x}", subject(raw={"x": {}}))


def test_large_exponents_are_rendered_in_scientific_notation() -> None:
    raw = {"x": Decimal("1e999999")}
    assert render("{raw.x}", subject(raw=raw), "json_text") == "1E+999999"
    assert render("x{raw.x}", subject(raw=raw)) == "x1E+999999"


@given(st.text(max_size=40))
def test_any_text_is_rejected_or_rendered_without_braces(template: str) -> None:
    try:
        compiled = compile_template(template)
    except ConfigError:
        return
    rendered = compiled(Scope.of(subject(), NOW))
    assert isinstance(rendered, str) or "{" in template


@given(st.text(max_size=60))
def test_escaped_text_is_rendered_unchanged(text: str) -> None:
    assert render(text.replace("{", "{{").replace("}", "}}")) == text
