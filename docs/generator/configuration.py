"""Generator of the configuration reference: all settings, and all structs of waybill.yaml with their fields."""

import re
import types
from collections.abc import Iterator, Sequence
from inspect import getdoc
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, UNSET, Meta, Struct
from msgspec.structs import FieldInfo

from service.config import Config, PlatformConfig
from service.config.destinations import DestinationConfig
from service.destinations.registry import CONFIG_TYPE as DESTINATION_TYPE
from service.outbound_settings import OutboundSettings
from service.platforms.registry import CONFIG_TYPE as PLATFORM_TYPE
from service.secrets import SecretRef
from service.settings import PREFIX, Settings, describe_setting

Shape = Any
"""A type as written in an annotation; unions and Annotated have no common type."""

INTRODUCTION = """\
# Configuration reference

Generated from the structs by `make pages`. `waybill check` reads the whole configuration and reports each mistake with
its place and its fix. Unknown names are rejected.

## Settings

Each process reads its settings from environment variables, once, at start. It reads waybill.yaml and secret files again
when they change; see [operations](../how-to/operations.md#common-tasks). `WAYBILL_REDIS_URL`,
`WAYBILL_REDIS_USERNAME`, `WAYBILL_REDIS_PASSWORD` and `WAYBILL_REDIS_SENTINEL_PASSWORD` can be files: add `_FILE`
to the name, and give the absolute path.

| variable | default | type | meaning |
|---|---|---|---|
"""

FILE = """
## waybill.yaml

Platforms, record kinds, sources, destinations, rule files and tokens of operators. It refers to secrets only:
`secret` in the tables is `{env: NAME}` or `{file: /absolute/path}`. A field without a default is required.

`WAYBILL_CONFIG` may also name a folder, for example with one file for each team. Its `*.yaml` and `*.yml` files are
merged by section: each named entry, such as a source, is in one of them, `rules` are joined, `outbound` and `admin` are
in one file. Patterns of `rules` are relative to the folder; files of folders below it, and hidden files, are not read.
Limits: 1 MiB and 100,000 values of a file, 1,000 files and 16 MiB of a folder.

Guides: [platforms](platforms.md), [custom platform](../tutorials/custom-platform.md), [senders](senders.md),
[destinations](destinations.md), [rules](rules.md).
"""

OF_THE_PROCESS = {"path", "record_types", "warnings"}
"""Fields of Config that are not part of the file."""

NAMED = {str: "string", int: "integer", float: "number", bool: "boolean", SecretRef: "secret", Any: "any"}


def configuration_page() -> str:
    """Return the text of docs/reference/configuration.md."""
    settings = sorted(
        msgspec.structs.fields(Settings), key=lambda field: field.name in OutboundSettings.__struct_fields__
    )
    variables = "\n".join(map(_variable, settings))
    sections = [field for field in msgspec.structs.fields(Config) if field.name not in OF_THE_PROCESS]
    rows = "\n".join(_row(field) for field in sections)
    structs = "\n".join(_struct(struct) for struct in _reach([field.type for field in sections]))
    table = f"| section | type | default | meaning |\n|---|---|---|---|\n{rows}\n"
    return f"{INTRODUCTION}{variables}\n{FILE}\n{table}\n{structs}"


def _variable(field: FieldInfo) -> str:
    meaning, _, default = describe_setting(field.name).rpartition(" (default ")
    shown = default.removesuffix(")").strip("'")
    name = f"`{PREFIX}{field.name.upper()}`"
    return f"| {name} | {f'`{shown}`' if shown else 'empty'} | {_cell(_form(field.type))} | {_cell(meaning)} |"


def _struct(struct: type[Struct]) -> str:
    head = f"### {_title(struct)}\n\n{_documented(struct)}\n"
    own = list(_rows(struct))
    if not own:
        return head
    table = "\n".join(["| field | type | default | meaning |", "|---|---|---|---|", *own])
    return f"{head}\n{table}\n"


def _rows(struct: type[Struct]) -> Iterator[str]:
    tag = struct.__struct_config__.tag
    if tag is not None:
        yield f"| `{struct.__struct_config__.tag_field}` | `{tag}` | | |"
    for field in msgspec.structs.fields(struct):
        yield _row(field)


def _row(field: FieldInfo) -> str:
    cells = (f"`{field.encode_name}`", _cell(_form(field.type)), _default(field), _cell(_meta_description(field.type)))
    return f"| {' | '.join(cells)} |"


def _default(field: FieldInfo) -> str:
    if field.default_factory is not NODEFAULT:
        return "empty"
    if field.default is NODEFAULT:
        return ""
    if field.default is None or field.default is UNSET:
        return "optional"
    if isinstance(field.default, Struct):
        tag = field.default.__struct_config__.tag
        return f"`{tag}`" if tag else "empty"
    shown = msgspec.json.encode(field.default).decode().strip('"')
    return f"`{shown}`" if shown not in {"", "[]", "{}"} else "empty"


def _form(shape: Shape) -> str:
    """Describe the values that a type permits."""
    inner, origin = _bare(shape), get_origin(_bare(shape))
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in get_args(inner))
    if origin in {Union, types.UnionType}:
        forms = [_form(member) for member in get_args(inner) if member is not type(None)]
        return " or ".join(dict.fromkeys(forms))
    if origin in {tuple, list, frozenset}:
        return f"list of {_form(get_args(inner)[0])}"
    if origin is dict:
        return f"map of {_form(get_args(inner)[1])}"
    if isinstance(inner, type) and issubclass(inner, Struct) and inner is not SecretRef:
        return f"[{_title(inner)}](#{_anchor(_title(inner))})"
    return NAMED[inner] + _bounds(shape)


def _bounds(shape: Shape) -> str:
    metas = getattr(shape, "__metadata__", ())
    signs = (("ge", "at least"), ("gt", "more than"), ("le", "at most"), ("lt", "less than"))
    bounds = [
        f"{words} {value:,}" for meta in metas for sign, words in signs if (value := getattr(meta, sign)) is not None
    ]
    return f", {', '.join(bounds)}" if bounds else ""


def _meta_description(shape: Shape) -> str:
    """Return the description of a type, also from inside unions and lists."""
    metas = [meta for meta in getattr(shape, "__metadata__", ()) if isinstance(meta, Meta) and meta.description]
    if metas:
        return metas[0].description or ""
    return next((description for member in get_args(_bare(shape)) if (description := _meta_description(member))), "")


def _reach(shapes: Sequence[Shape]) -> list[type[Struct]]:
    """Return all structs that `shapes` refer to, in the order of their first reference."""
    met: dict[type[Struct], None] = {}
    waiting = list(shapes)
    while waiting:
        shape = _bare(waiting.pop(0))
        if isinstance(shape, type) and issubclass(shape, Struct):
            if shape is not SecretRef and shape not in met:
                met[shape] = None
                waiting += [field.type for field in msgspec.structs.fields(shape)]
        else:
            waiting += get_args(shape) if get_origin(shape) is not Literal else ()
    return list(met)


def _bare(shape: Shape) -> Shape:
    if shape is PlatformConfig:
        return PLATFORM_TYPE
    if shape is DestinationConfig:
        return DESTINATION_TYPE
    return _bare(get_args(shape)[0]) if get_origin(shape) is Annotated else shape


def _title(struct: type[Struct]) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", struct.__name__.removesuffix("Config")).lower()
    field, tag = struct.__struct_config__.tag_field, struct.__struct_config__.tag
    return f"{words} ({field}: {tag})" if tag else words


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9_ -]", "", title).replace(" ", "-")


def _documented(struct: type[Struct]) -> str:
    return getdoc(struct) or ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
