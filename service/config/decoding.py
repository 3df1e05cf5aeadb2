"""Decoding of plain data into structs. Errors contain the path, the reason and the fix.

msgspec reports neither the key of a dict nor a suggestion. This module follows the types to the mistake.
"""

import difflib
import re
import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeGuard, Union, cast, get_args, get_origin

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from service.errors import ConfigError
from service.events import JsonValue
from service.mistakes import Mistakes
from service.secrets import REFERENCE_FIX, SecretRef

ExpectedType = Any
"""A type to decode into. It is Any because a union has no type of its own."""

SUGGESTIONS = {"and": "all", "or": "any"}
"""Words of other rule languages for which the closest match would be wrong."""

_MESSAGE = re.compile(r"(.*?)(?: - at `\$(.*)`)?", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")


def decode_config(data: JsonValue, expected: ExpectedType, at: str) -> Any:  # noqa: ANN401 - the type is that of `expected`
    """Decode `data` as `expected`, a Struct or a union of Structs.

    Args:
        data: the plain data.
        expected: the type to decode into.
        at: the path of `data`, for errors.

    Raises:
        ConfigError: the data does not fit; the error contains all mistakes with their paths.
    """
    try:
        return msgspec.convert(data, expected)
    except msgspec.ValidationError as error:
        mistakes = Mistakes()
        _collect(data, _choose(expected, data), at, mistakes)
        mistakes.raise_all()
        parsed = _MESSAGE.fullmatch(str(error))
        reason, path = (parsed[1], parsed[2] or "") if parsed else (str(error), "")
        raise _explain(reason, _STEP.findall(path), data, expected, at) from None


def valid_parts(data: JsonValue, expected: ExpectedType) -> JsonValue | UnsetType:
    """Return `data` without the keys that do not fit, so that more mistakes can be found; UNSET if the rest is invalid.

    An item of a list is emptied instead of removed, so that the other items keep their positions.
    """
    if _fits(data, expected):
        return data
    chosen = _choose(expected, data)
    valid: object = UNSET
    if _is_struct(chosen) and isinstance(data, dict):
        fields = _fields(chosen) | {str(chosen.__struct_config__.tag_field): Any}
        written = cast("dict[str, Any]", data).items()
        parts = {key: valid_parts(value, fields[key]) for key, value in written if key in fields}
        valid = {key: part for key, part in parts.items() if part is not UNSET}
    elif get_origin(chosen) in {tuple, list} and isinstance(data, list):
        items = [valid_parts(item, get_args(chosen)[0]) for item in cast("list[Any]", data)]
        valid = [cast("dict[str, Any]", {}) if item is UNSET else item for item in items]
    elif get_origin(chosen) is dict and isinstance(data, dict):
        entries = {key: valid_parts(value, get_args(chosen)[1]) for key, value in cast("dict[str, Any]", data).items()}
        valid = {key: entry for key, entry in entries.items() if entry is not UNSET}
    return cast("JsonValue", valid) if _fits(valid, expected) else UNSET


def _fits(data: object, expected: ExpectedType) -> bool:
    try:
        msgspec.convert(data, expected)
    except msgspec.ValidationError:
        return False
    return True


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Format a fix: the closest known word, if there is one, and the list of known names."""
    names, lower = sorted(known), word.lower()
    by_lower = {each.lower(): each for each in names}
    if SUGGESTIONS.get(lower) in names:
        near = [SUGGESTIONS[lower]]
    else:
        near = [by_lower[each] for each in difflib.get_close_matches(lower, by_lower, 1)]
    near = near or [each for each in names if len(lower) > 2 and (each.startswith(lower) or lower.startswith(each))]
    suggestion = f"did you mean {near[0]}? " if near else ""
    return suggestion + (f"valid: {', '.join(names)}" if names else "remove it")


def unknown_key(at: str, key: str, known: Iterable[str]) -> ConfigError:
    """Build the error for an unknown key of the object at `at`."""
    return ConfigError(f"{at}.{key}" if at else key, "unknown key", did_you_mean(key, known))


def _collect(data: JsonValue, expected: ExpectedType, at: str, mistakes: Mistakes) -> None:
    """Collect the mistakes in the parts of `data`. There are none if the mistake is in `data` itself."""
    if _is_struct(expected) and isinstance(data, dict):
        _collect_fields(cast("dict[str, Any]", data), expected, at, mistakes)
    elif get_origin(expected) in {tuple, list} and isinstance(data, list):
        for index, item in enumerate(cast("list[Any]", data)):
            _collect_part(item, get_args(expected)[0], f"{at}[{index}]", mistakes)
    elif get_origin(expected) is dict and isinstance(data, dict):
        for key, value in cast("dict[str, Any]", data).items():
            _collect_part(value, get_args(expected)[1], f"{at}.{key}", mistakes)


def _collect_fields(written: dict[str, Any], struct: type[Struct], at: str, mistakes: Mistakes) -> None:
    fields, config = _fields(struct), struct.__struct_config__
    for key, value in written.items():
        if key in fields:
            _collect_part(value, fields[key], f"{at}.{key}", mistakes)
        elif key != config.tag_field and config.forbid_unknown_fields:
            mistakes.add(unknown_key(at, key, [*fields, *([config.tag_field] if config.tag_field else [])]))
    for field in msgspec.structs.fields(struct):
        if field.required and field.encode_name not in written:
            fix = _missing_fix(struct, written, field.encode_name)
            mistakes.add(ConfigError(f"{at}.{field.encode_name}", "is missing", fix))


def _collect_part(data: JsonValue, expected: ExpectedType, at: str, mistakes: Mistakes) -> None:
    if not mistakes.is_full:
        with mistakes.collect():
            decode_config(data, expected, at)


def _explain(
    reason: str, steps: list[tuple[str, str]], data: JsonValue, expected: ExpectedType, at: str
) -> ConfigError:
    for position, (name, index) in enumerate(steps):
        expected = _choose(expected, data)
        if index == "...":
            return _explain_value(data, get_args(expected)[1], at)
        if name and not (_is_struct(expected) and name in _fields(expected)):
            return _describe(reason, data, expected, at, ".".join(step for step, _ in steps[position:]))
        data, expected = (data[name], _fields(expected)[name]) if name else (data[int(index)], get_args(expected)[0])
        at = f"{at}.{name}" if name else f"{at}[{index}]"
    return _describe(reason, data, expected, at, "")


def _explain_value(data: Mapping[str, JsonValue], expected: ExpectedType, at: str) -> ConfigError:
    """Find the invalid value of a dict, which msgspec does not report."""
    mistakes = (_mistake(value, expected, f"{at}.{key}") for key, value in data.items())
    return next(mistake for mistake in mistakes if mistake is not None)


def _mistake(data: JsonValue, expected: ExpectedType, at: str) -> ConfigError | None:
    try:
        decode_config(data, expected, at)
    except ConfigError as error:
        return error
    return None


def _describe(reason: str, data: JsonValue, expected: ExpectedType, at: str, tag: str) -> ConfigError:
    """Convert a message of msgspec into a ConfigError. `tag` is the tag field if the tag is invalid."""
    quoted = re.search(r"`([^`]*)`\Z", reason)
    if reason.startswith("Object contains unknown field") and quoted:
        struct = _choose(expected, data)
        tag_field = struct.__struct_config__.tag_field
        return unknown_key(at, quoted[1], [*_fields(struct), *([tag_field] if tag_field else [])])
    if reason.startswith("Object missing required field") and quoted:
        return ConfigError(f"{at}.{quoted[1]}", "is missing", _missing_fix(expected, data, quoted[1]))
    if tag:
        return ConfigError(f"{at}.{tag}", reason, did_you_mean(str(data.get(tag, "")), _tags(expected)))
    if SecretRef in _members(expected) and isinstance(data, dict):
        return ConfigError(at, reason, REFERENCE_FIX)
    if SecretRef in _members(expected) and not isinstance(data, list):
        return ConfigError(at, "is plain text or another value instead of a reference to a secret", REFERENCE_FIX)
    if "matching regex" in reason:
        reason = "does not have the required format"
    return ConfigError(at, reason, _fix(expected, data))


def _missing_fix(expected: ExpectedType, data: JsonValue, name: str) -> str:
    tags = _tags(expected)
    if tags and not isinstance(_choose(expected, data), type):
        return f"add {name}: one of {', '.join(tags)}"
    struct = _choose(expected, data)
    field = _fields(struct).get(name) if isinstance(struct, type) else None
    if SecretRef in _members(field):
        return f"add {name}: {{env: NAME}}, or {{file: /absolute/path}}"
    if _tags(field):
        tag_field = _members(field)[0].__struct_config__.tag_field
        return f"add {name}, with {tag_field}: one of {', '.join(_tags(field))}"
    return f"add {name}"


def _fix(expected: ExpectedType, data: JsonValue) -> str:
    for member in _members(expected, with_meta=True):
        for meta in getattr(member, "__metadata__", ()):
            if isinstance(meta, Meta) and meta.description:
                return f"write {meta.description}"
    literals = [str(value) for member in _members(expected) for value in get_args(member) if isinstance(value, str)]
    if literals:
        return did_you_mean(str(data), literals)
    if str in _members(expected) and isinstance(data, int | float):
        return "put it in quotes"
    return "write a value of the expected type"


def _members(expected: ExpectedType, *, with_meta: bool = False) -> list[Any]:
    """Return the members of a union, or a list of the one type."""
    if get_origin(expected) is Annotated:
        return [expected] if with_meta else _members(get_args(expected)[0])
    if get_origin(expected) in {Union, types.UnionType}:
        return [inner for member in get_args(expected) for inner in _members(member, with_meta=with_meta)]
    return [expected]


def _choose(expected: ExpectedType, data: JsonValue) -> ExpectedType:
    """Return the member of a union that msgspec used for the data, by its shape and its tag."""
    members = _members(expected)
    if isinstance(data, dict):
        members = _choose_for(cast("dict[str, Any]", data), members)
    if isinstance(data, list):
        members = [member for member in members if get_origin(member) in {tuple, list}] or members
    return members[0] if len(members) == 1 else expected


def _choose_for(written: dict[str, Any], members: list[Any]) -> list[Any]:
    """Return the possible members for an object: the struct of its tag, else untagged structs, else all except null."""
    tags = {member: _tag(member) for member in members if _is_struct(member)}
    chosen = [member for member in tags if _is_tagged(member, written)]
    untagged = [member for member, tag in tags.items() if tag is None]
    plain = [member for member in members if tags.get(member) is None and member is not type(None)]
    return chosen or untagged or plain or members


def _is_tagged(struct: type[Struct], written: dict[str, Any]) -> bool:
    tag = _tag(struct)
    return tag is not None and written.get(str(struct.__struct_config__.tag_field)) == tag


def _fields(struct: type[Struct]) -> dict[str, Any]:
    return {field.encode_name: field.type for field in msgspec.structs.fields(struct)}


def _is_struct(expected: ExpectedType) -> TypeGuard[type[Struct]]:
    return isinstance(expected, type) and issubclass(expected, Struct)


def _tag(struct: type[Struct]) -> str | int | None:
    return struct.__struct_config__.tag


def _tags(expected: ExpectedType) -> list[str]:
    structs = [member for member in _members(expected) if _is_struct(member)]
    return [str(_tag(struct)) for struct in structs if _tag(struct) is not None]
