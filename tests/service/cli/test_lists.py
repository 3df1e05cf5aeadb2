"""Lists: table layout, formats, ages and short ids."""

from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

import pytest
from click.testing import CliRunner

from service.cli.lists import ListFormat, ListTable, print_list, short_age
from service.cli.output import columns_of
from service.cli.sources import sources
from service.cli.table import cell_width, shorten, table_lines
from service.events import short_id_characters

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
TABLE = ListTable[dict[str, Any]](
    columns={name: itemgetter(name) for name in ("id", "state")},
    wide={name: itemgetter(name) for name in ("id", "state", "note", "store")},
    name=itemgetter("id"),
    empty_message="Nothing.",
)
ROWS = [
    {"id": "a" * 32, "state": "dead", "note": "first\nline", "store": "one"},
    {"id": "b" * 32, "state": "ended", "note": "", "store": "one"},
]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (7_199, "119m"), (7_200, "2h"), (172_800, "2d")],
)
def test_age_is_in_the_largest_unit_from_two_on(seconds: int, text: str) -> None:
    assert short_age((NOW - timedelta(seconds=seconds)).isoformat(), NOW) == text


def test_age_of_a_missing_timestamp_is_empty() -> None:
    assert short_age(None, NOW) == ""


def test_short_ids_are_as_long_as_their_first_difference_and_16_at_least() -> None:
    assert short_id_characters([]) == 0
    assert short_id_characters(["a" * 32, "b" * 32]) == 16
    assert short_id_characters(["a" * 20 + "b" * 12, "a" * 20 + "c" * 12]) == 21
    assert short_id_characters(["a" * 32, "a" * 32]) == 16


def test_a_cell_is_shortened_in_its_middle_and_wide_characters_count_twice() -> None:
    assert shorten("pack:purchase_order:po-4711", 15) == "pack…er:po-4711"
    assert shorten("short", 5) == "short"
    assert cell_width("注文1") == 5
    assert cell_width(shorten("注文" * 20, 11)) <= 11


def test_a_table_fits_into_the_terminal_and_keeps_ids_whole() -> None:
    names = ("age", "record", "id")
    rows = [("5m", "pack:purchase_order:" + "9" * 60, "0123456789ab")]
    heading, row = ("  ".join(line) for line in table_lines(names, rows, 60))
    assert len(row) == 60
    assert row.startswith("5m   pack:")
    assert row.endswith("  0123456789ab")
    assert heading.split() == ["AGE", "RECORD", "ID"]
    assert "9" * 60 in "  ".join(table_lines(names, rows, None)[1])
    narrow = table_lines(names, rows, 10)[1]
    assert (len(narrow[1]), narrow[2]) == (10, "0123456789ab")


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("name", f"{'a' * 32}\n{'b' * 32}\n"),
        (None, f"id\tstate\tnote\n{'a' * 32}\tdead\tfirst line\n{'b' * 32}\tended\t\n"),
        ("wide", f"id\tstate\tnote\n{'a' * 32}\tdead\tfirst line\n{'b' * 32}\tended\t\n"),
        ("yaml", f"- id: {'a' * 32}\n  state: dead\n"),
        ("json", f'{{"id":"{"a" * 32}","state":"dead"'),
    ],
)
def test_formats_of_a_list(output: ListFormat | None, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_list(ROWS, TABLE, output)
    assert capsys.readouterr().out.startswith(expected)


@pytest.mark.parametrize(
    ("output", "first"),
    [("wide", "preset\tsender\tgroup\trequires"), ("name", "adobe-commerce"), ("yaml", "- preset: adobe-commerce")],
)
def test_presets_have_the_formats_of_a_list(output: str, first: str) -> None:
    printed = CliRunner().invoke(sources, ["presets", "-o", output])
    assert (printed.exit_code, printed.output.splitlines()[0]) == (0, first)


def test_the_store_is_shown_for_rows_of_several_stores_only(capsys: pytest.CaptureFixture[str]) -> None:
    print_list([ROWS[0], ROWS[1] | {"store": "two"}], TABLE, "wide")
    assert capsys.readouterr().out.splitlines()[0].endswith("\tstore")


@pytest.mark.parametrize("output", [None, "wide", "name"])
def test_an_empty_list_is_a_note_on_stderr(output: ListFormat | None, capsys: pytest.CaptureFixture[str]) -> None:
    print_list([], TABLE, output)
    assert capsys.readouterr() == ("", "Nothing.\n")


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_an_empty_list_for_programs_is_empty(output: ListFormat, capsys: pytest.CaptureFixture[str]) -> None:
    print_list([], TABLE, output)
    assert capsys.readouterr() == ("", "")


def test_columns_without_wide_ones_are_those_of_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    table = ListTable[Any](columns=columns_of("real"), name=str, empty_message="")
    print_list([1], table, None)
    assert capsys.readouterr().out == "real\n1\n"
