"""Every field that the platforms' pages show of a record stands in our sample of it, in the type they state.

`<kind>.fields.txt` lists them as name and type, `null` where it may be. A dotted name is a place, through the first
item of a list; pack.cloud's page shows names in their order and not what they are part of, so these are counted.
That nothing of a sample is lost on its way into a record is shown in `test_platforms`.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec import Struct

SAMPLES = Path(__file__).parents[2] / "samples"
LISTS = sorted(SAMPLES.glob("*/*.fields.txt"))
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array[string]": (list,),
    "array[object]": (list,),
}


class Field(Struct, frozen=True):
    """One field as a page shows it."""

    name: str
    type: str
    nullable: bool

    def fits(self, value: object) -> bool:
        if value is None:
            return self.nullable
        truth = isinstance(value, bool)
        return isinstance(value, TYPES[self.type]) and truth == (self.type == "boolean")


def fields(path: Path) -> list[Field]:
    rows = [line.split(" ") for line in path.read_text().splitlines()]
    return [Field(row[0], row[1], row[2:] == ["null"]) for row in rows]


def sample(path: Path) -> Any:
    data = json.loads(path.with_name(path.name.replace(".fields.txt", ".json")).read_text())
    # A list of fields may start at the response or at the record inside its envelope.
    return data if any(field.name == "data" for field in fields(path)) else data.get("data", data)


def find(node: Any, name: str) -> Any:
    for step in name.split("."):
        node = cast("Any", node[0] if type(node) is list else node)[step]
    return node


def label(path: Path) -> str:
    return f"{path.parent.name}-{path.name.removesuffix('.fields.txt')}"


def scalars(node: Any) -> list[tuple[str, Any]]:
    """Every name with its value, wherever it stands, but of objects and lists."""
    if isinstance(node, list):
        return [pair for item in cast("list[Any]", node) for pair in scalars(item)]
    if not isinstance(node, dict):
        return []
    pairs = cast("dict[str, Any]", node).items()
    own = [(name, value) for name, value in pairs if not isinstance(value, dict | list)]
    return own + [pair for _, value in pairs for pair in scalars(value)]


def test_there_is_a_list_of_every_kind_of_record_of_every_platform() -> None:
    listed = {(path.parent.name, path.name.removesuffix(".fields.txt")) for path in LISTS}
    whole = {
        (path.parent.name, path.stem)
        for path in SAMPLES.glob("*/*.json")
        if path.stem in {"customer", "purchase_order"}
    }
    assert listed == {pair for pair in whole if pair[0] != "custom"}


@pytest.mark.parametrize("path", [path for path in LISTS if path.parent.name != "pack_cloud"], ids=label)
def test_a_sample_has_every_field_where_the_page_shows_it(path: Path) -> None:
    data = sample(path)
    for field in fields(path):
        assert field.fits(find(data, field.name)), field


@pytest.mark.parametrize("path", [path for path in LISTS if path.parent.name == "pack_cloud"], ids=label)
def test_a_sample_has_every_field_as_often_as_the_page_shows_it(path: Path) -> None:
    found = scalars(sample(path))
    shown = fields(path)
    assert Counter(field.name for field in shown) <= Counter(name for name, _ in found)
    kinds = {field.name: [other for other in shown if other.name == field.name] for field in shown}
    for name, value in found:
        assert any(field.fits(value) for field in kinds.get(name, [])), (name, value)
