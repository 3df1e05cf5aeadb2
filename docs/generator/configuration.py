"""Configuration reference: the settings of a process, and the structs of waybill.yaml with their fields."""

import re
import types
from collections.abc import Iterator, Sequence
from inspect import getdoc
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Meta, Struct
from msgspec.structs import FieldInfo

from service.config import Config
from service.secrets import SecretRef
from service.settings import PREFIX, Settings, describe_setting

Shape = Any
"""Type annotation. The type checker has no type for unions and Annotated."""

INTRODUCTION = """\
# Configuration reference

Generated from the code by `python -m docs.generator`. `waybill check` validates the whole configuration. It reports
the path, the reason and the fix of each mistake. Unknown names are rejected.

## Environment variables

| variable | default | type | description |
|---|---|---|---|
"""

FILE = """
## waybill.yaml

Fields without a default are required. `secret` is `{env: NAME}` or `{file: /absolute/path}`: secrets are never part of
the file. See also: platforms in [platforms.md](platforms.md) and [custom-platform.md](custom-platform.md), signature
schemes in [senders.md](senders.md), rules in [rules.md](rules.md).
"""

NOT_IN_THE_FILE = {"path", "warnings"}
"""Fields of Config that are not part of the file."""

TYPE_NAMES = {str: "text", int: "whole number", float: "number", bool: "true or false", SecretRef: "secret", Any: "any"}


def configuration_page() -> str:
    """Build docs/configuration.md."""
    variables = "\n".join(_setting_row(field) for field in msgspec.structs.fields(Settings))
    sections = [field for field in msgspec.structs.fields(Config) if field.name not in NOT_IN_THE_FILE]
    rows = "\n".join(_row(field) for field in sections)
    structs = "\n".join(_struct(struct) for struct in _reachable_structs([field.type for field in sections]))
    table = f"| section | type | default | description |\n|---|---|---|---|\n{rows}\n"
    return f"{INTRODUCTION}{variables}\n{FILE}\n{table}\n{structs}"


def _setting_row(field: FieldInfo) -> str:
    meaning, _, default = describe_setting(field.name).rpartition(" (default ")
    text = default.removesuffix(")").strip("'")
    name = f"`{PREFIX}{field.name.upper()}`"
    return f"| {name} | {f'`{text}`' if text else 'empty'} | {_cell(_describe_type(field.type))} | {_cell(meaning)} |"


def _struct(struct: type[Struct]) -> str:
    head = f"### {_title(struct)}\n\n{_docstring(struct)}\n"
    own = list(_rows(struct))
    if not own:
        return head
    table = "\n".join(["| field | type | default | description |", "|---|---|---|---|", *own])
    return f"{head}\n{table}\n"


def _rows(struct: type[Struct]) -> Iterator[str]:
    tag = struct.__struct_config__.tag
    if tag is not None:
        yield f"| `{struct.__struct_config__.tag_field}` | `{tag}` | | |"
    for field in msgspec.structs.fields(struct):
        yield _row(field)


def _row(field: FieldInfo) -> str:
    cells = (
        f"`{field.encode_name}`",
        _cell(_describe_type(field.type)),
        _default(field),
        _cell(_meta_description(field.type)),
    )
    return f"| {' | '.join(cells)} |"


def _default(field: FieldInfo) -> str:
    if field.default_factory is not NODEFAULT:
        return "empty"
    if field.default is NODEFAULT:
        return ""
    if field.default is None:
        return "optional"
    if isinstance(field.default, Struct):
        tag = field.default.__struct_config__.tag
        return f"`{tag}`" if tag else "empty"
    text = msgspec.json.encode(field.default).decode().strip('"')
    return f"`{text}`" if text not in {"", "[]", "{}"} else "empty"


def _describe_type(shape: Shape) -> str:
    """Describe the type in words."""
    inner, origin = _without_annotation(shape), get_origin(_without_annotation(shape))
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in get_args(inner))
    if origin in {Union, types.UnionType}:
        forms = [_describe_type(member) for member in get_args(inner) if member is not type(None)]
        return " or ".join(dict.fromkeys(forms))
    if origin in {tuple, list, frozenset}:
        return f"list of: {_describe_type(get_args(inner)[0])}"
    if origin is dict:
        return f"map of: {_describe_type(get_args(inner)[1])}"
    if isinstance(inner, type) and issubclass(inner, Struct) and inner is not SecretRef:
        return f"[{_title(inner)}](#{_anchor(_title(inner))})"
    return TYPE_NAMES[inner] + _bounds(shape)


def _bounds(shape: Shape) -> str:
    metas = getattr(shape, "__metadata__", ())
    operators = (("ge", "at least"), ("gt", "more than"), ("le", "at most"), ("lt", "less than"))
    bounds = [
        f"{words} {value:,}"
        for meta in metas
        for sign, words in operators
        if (value := getattr(meta, sign)) is not None
    ]
    return f", {', '.join(bounds)}" if bounds else ""


def _meta_description(shape: Shape) -> str:
    """Return the description of a Meta of the type, searching unions and lists too."""
    metas = [meta for meta in getattr(shape, "__metadata__", ()) if isinstance(meta, Meta) and meta.description]
    if metas:
        return metas[0].description or ""
    return next(
        (description for member in get_args(_without_annotation(shape)) if (description := _meta_description(member))),
        "",
    )


def _reachable_structs(shapes: Sequence[Shape]) -> list[type[Struct]]:
    """Return every struct reachable from `shapes`, in breadth-first order."""
    found: dict[type[Struct], None] = {}
    queue = list(shapes)
    while queue:
        shape = _without_annotation(queue.pop(0))
        if isinstance(shape, type) and issubclass(shape, Struct):
            if shape is not SecretRef and shape not in found:
                found[shape] = None
                queue += [field.type for field in msgspec.structs.fields(shape)]
        else:
            queue += get_args(shape) if get_origin(shape) is not Literal else ()
    return list(found)


def _without_annotation(shape: Shape) -> Shape:
    return _without_annotation(get_args(shape)[0]) if get_origin(shape) is Annotated else shape


def _title(struct: type[Struct]) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", struct.__name__.removesuffix("Config")).lower()
    field, tag = struct.__struct_config__.tag_field, struct.__struct_config__.tag
    return f"{words} ({field}: {tag})" if tag else words


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9_ -]", "", title).replace(" ", "-")


def _docstring(struct: type[Struct]) -> str:
    return getdoc(struct) or ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
