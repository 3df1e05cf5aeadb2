"""Our OpenAPI document against Open Food Network's own file: paths, parameters, statuses, fields and their types.

Run by CI where OFN_OPENAPI names that file, see `documents`; it fails without.
"""

import pytest

from .documents import OURS, THEIRS, Document, Schema

NOT_OURS = {
    ("/api/v1/customer_account_transaction", "post"): "writes to an account, and is on no page of customers",
    ("/api/v1/enterprises/{enterprise_id}/customers", "get"): "the same as the list with enterprise_id",
}
FROM_BEHAVIOUR = {("page", "query"), ("per_page", "query")}
"""How the instance pages: in its source and in the links of its answers, not in its file."""
BEYOND_ERRORS = {".meta", ".meta.validation_errors"}
"""What is said of invalid fields: in its source as well."""


@pytest.fixture(name="theirs", scope="module")
def theirs_if_given() -> Document:
    assert THEIRS is not None, "OFN_OPENAPI is to name Open Food Network's swagger/v1.yaml"
    return THEIRS


def parameters(operation: Schema) -> set[tuple[str, str]]:
    return {(parameter["name"], parameter["in"]) for parameter in operation["parameters"]}


def test_client_and_document_have_the_same_operations(theirs: Document) -> None:
    assert OURS.operations().keys() == theirs.operations().keys() - NOT_OURS.keys()
    assert NOT_OURS.keys() <= theirs.operations().keys(), "what is left out is there to be left out"


@pytest.mark.parametrize("key", OURS.operations())
def test_an_operation_takes_the_same_parameters_and_fields(theirs: Document, key: tuple[str, str]) -> None:
    own, their = OURS.operations()[key], theirs.operations()[key]
    beyond = FROM_BEHAVIOUR if key == ("/api/v1/customers", "get") else set[tuple[str, str]]()
    assert parameters(own) == parameters(their) | beyond
    assert agree(OURS.sent(own), theirs.sent(their)) == []


@pytest.mark.parametrize("key", OURS.operations())
def test_an_operation_answers_with_the_same_statuses_and_fields(theirs: Document, key: tuple[str, str]) -> None:
    own, their = OURS.operations()[key], theirs.operations()[key]
    statuses = set(map(str, their["responses"]))
    assert statuses <= set(own["responses"])
    assert {status for status in own["responses"] if status.startswith("2")} <= statuses
    for status in statuses:
        known = with_both_addresses(theirs.answered(their, status))
        beyond = BEYOND_ERRORS if status == "422" else set[str]()
        found = {name: kind for name, kind in OURS.answered(own, status).items() if name not in beyond}
        assert agree(found, known) == [], status


def with_both_addresses(fields: dict[str, str | None]) -> dict[str, str | None]:
    """Its file shows the members of one address by an example, and for the other an example that is null."""
    one, other = ".shipping_address.", ".billing_address."
    return fields | {name.replace(one, other): kind for name, kind in fields.items() if one in name}


def agree(own: dict[str, str | None], their: dict[str, str | None]) -> list[str]:
    """Name each field that only one has, or that both type differently; what an example shows has no type to differ."""
    alone = [f"only ours: {name}" for name in sorted(own.keys() - their.keys())]
    alone += [f"only theirs: {name}" for name in sorted(their.keys() - own.keys())]
    both = sorted(own.keys() & their.keys())
    return alone + [f"{name}: {own[name]} and {their[name]}" for name in both if differ(own[name], their[name])]


def differ(own: str | None, their: str | None) -> bool:
    return own is not None and their is not None and own != their


def test_a_difference_is_detected() -> None:
    assert agree({".a": "string", ".b": "string"}, {".a": "integer", ".c": None}) == [
        "only ours: .b",
        "only theirs: .c",
        ".a: string and integer",
    ]


def test_the_schemes_of_the_key_are_the_same(theirs: Document) -> None:
    own = next(iter(OURS.tree["components"]["securitySchemes"].values()))
    schemes = theirs.tree["components"]["securitySchemes"].values()
    assert any(own.items() <= scheme.items() for scheme in schemes)
