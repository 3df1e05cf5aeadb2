"""Strict YAML: parse one file into plain data, or raise a ConfigError with the path.

Based on the safe loader of PyYAML. In addition it rejects duplicate keys, keys that are not text, tags, and alias
bombs: files that are small on disk but large in memory. Scalars follow YAML 1.2: `yes`, `on`, `12:30` and `0123` are
text.
"""

import re
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer

from service.errors import ConfigError
from service.events import JsonValue
from service.mistakes import Mistakes

FILE_BYTES_MAX = 1_048_576
NODES_MAX = 100_000
"""Maximum number of values in a file after the expansion of all aliases."""
DEPTH_MAX = 50

_UNQUOTED_TEMPLATE = re.compile(r"[:\-,\[]\s*\{[^{}:,]+\}\s*[^\s,}\]#]")
"""A placeholder that begins a plain text: `message: {reference} came in`."""

_UNQUOTED_BRACES = re.compile(r":\s+[^\s\"'{\[][^\"']*\{[A-Za-z_][^{}:,]*\}")
"""A placeholder inside of a plain text, which ends the text in a mapping with braces: `{url: https://a/{id}}`."""

_TAG = "tag:yaml.org,2002:"
_RESOLVERS = {
    "null": (r"~|null|", "~n"),
    "bool": (r"true|false", "tf"),
    "int": (r"[-+]?(?:0|[1-9][0-9]{0,18})", "-+0123456789"),
    "float": (r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
}


INT_MIN, INT_MAX = -(2**63), 2**63 - 1


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    table: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for name, (pattern, first_letters) in _RESOLVERS.items():
        for letter in [*first_letters, ""]:
            table.setdefault(letter, []).append((f"{_TAG}{name}", re.compile(rf"(?:{pattern})\Z")))
    return table


RESOLVERS = _resolvers()
"""PyYAML's table: the tags of plain scalars by their first letter."""


class _Loader(Composer, yaml.CSafeLoader):
    """Nodes with the scalars of YAML 1.2 and a limit on nesting, from the events of libyaml.

    libyaml parses five times as fast as the parser of PyYAML. Its composer has no limit on nesting.
    """

    yaml_implicit_resolvers = RESOLVERS

    def __init__(self, text: str) -> None:
        yaml.CSafeLoader.__init__(self, text)
        Composer.__init__(self)
        self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            event: Any = self.peek_event()
            raise yaml.MarkedYAMLError(
                None, None, f"nested deeper than {DEPTH_MAX} levels", event.start_mark, "nest less deeply"
            )
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def read_yaml(path: Path, mistakes: Mistakes | None = None) -> JsonValue:
    """Read one YAML file as dicts with text keys, lists, text, bools, ints, floats and None.

    Args:
        path: the file.
        mistakes: where rejected constructs are added, so that the rest of the file can be checked as well.

    Raises:
        ConfigErrors: the file is missing, too large or not YAML, or without `mistakes` contains rejected constructs.
            The errors have the file and the line.
    """
    try:
        with path.open("rb") as file:
            # One byte more than the limit is enough to detect a file that is too large.
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
        raise ConfigError("", reason, "name an existing, readable file", file=str(path)) from None
    if len(content) > FILE_BYTES_MAX:
        fix = "make it smaller: rules may be in several files"
        raise ConfigError("", f"is larger than {FILE_BYTES_MAX} bytes", fix, file=str(path))
    try:
        return parse_yaml(content.decode(), str(path), mistakes)
    except UnicodeDecodeError:
        raise ConfigError("", "is not UTF-8 text", "save it as UTF-8", file=str(path)) from None


def parse_yaml(text: str, name: str, mistakes: Mistakes | None = None) -> JsonValue:
    """Parse YAML text.

    Args:
        text: the YAML text.
        name: the name of the text in errors.
        mistakes: as in `read_yaml`.

    Raises:
        ConfigErrors: the text is not YAML, or without `mistakes` contains rejected constructs.
    """
    node = compose(text, name)
    if node is None:
        return None
    constructor = _Constructor(name)
    data = constructor.construct(node, "")
    if mistakes is None:
        constructor.mistakes.raise_all()
    else:
        mistakes.found += constructor.mistakes.found
    return data


def compose(text: str, name: str) -> yaml.Node | None:
    """Parse YAML text into a graph of nodes with their lines.

    Raises:
        ConfigError: the text is not YAML.
    """
    try:
        return _Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        fix = error.note or "fix the YAML at this line"
        line = _line(text, mark.line) if mark is not None else ""
        if _UNQUOTED_TEMPLATE.search(line) or _UNQUOTED_BRACES.search(line):
            fix = 'put a text with placeholders in quotes: "{reference} came in"'
        # libyaml reports the end of the text in the line after the last one.
        number = min(mark.line + 1, max(len(text.splitlines()), 1)) if mark else None
        raise ConfigError("", error.problem or "is not YAML", fix, file=name, line=number) from None
    except yaml.YAMLError as error:
        raise ConfigError("", str(error).splitlines()[0], "save it as plain YAML text", file=name) from None


def _line(text: str, number: int) -> str:
    lines = text.splitlines()
    return lines[number] if number < len(lines) else ""


class _Constructor:
    """Converts a graph of nodes into plain data, and collects rejected constructs.

    Counts the nodes, so that an alias bomb is rejected early.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes = 0
        self.mistakes = Mistakes()

    def construct(self, node: yaml.Node, at: str, depth: int = 0) -> JsonValue:
        self.nodes += 1
        if self.nodes > NODES_MAX or depth > DEPTH_MAX:
            fix = "write less, or use fewer aliases"
            raise self._error(node, at, f"more than {NODES_MAX} values or {DEPTH_MAX} levels", fix)
        # Check the tag as well: `!!set` and application tags are not plain data.
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._construct_mapping(node, at, depth)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.construct(item, f"{at}[{index}]", depth + 1) for index, item in enumerate(node.value)]
        return self._construct_scalar(node, at)

    def _construct_mapping(self, node: yaml.MappingNode, at: str, depth: int) -> dict[str, Any] | str:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not (isinstance(key_node, yaml.ScalarNode) and key_node.tag == _TAG + "str"):
                reason = f"the key in line {key_node.start_mark.line + 1} is not text"
                self.mistakes.add(self._error(key_node, at, reason, "put the key in quotes"))
                continue
            key = str(key_node.value)
            inner = f"{at}.{key}" if at else key
            if key in data:
                reason = f"is a duplicate key, repeated in line {key_node.start_mark.line + 1}"
                self.mistakes.add(self._error(key_node, inner, reason, "remove one of the two"))
                continue
            if node.flow_style and _is_empty(value_node):
                reason = f"{{{key}}} without quotes is an object with an empty value"
                fix = f'put it in quotes: "{{{key}}}"; for an object write {{{key}: null}}'
                self.mistakes.add(self._error(key_node, at, reason, fix))
                if len(node.value) == 1:
                    return f"{{{key}}}"  # as it was meant, so that no further mistake follows
            data[key] = self.construct(value_node, inner, depth + 1)
        return data

    def _construct_scalar(self, node: yaml.Node, at: str) -> str | bool | int | float | None:
        value = str(node.value)
        match node.tag.removeprefix(_TAG):
            case "str":
                return value
            case "null":
                return None
            case "bool" if value in {"true", "false"}:
                return value == "true"
            case "int" if re.fullmatch(_RESOLVERS["int"][0], value):
                # A number that no store keeps stays a text, with all its digits.
                return int(value) if INT_MIN <= int(value) <= INT_MAX else value
            case "float" if re.fullmatch(_RESOLVERS["float"][0], value):
                return float(value)
            case _:
                reason = f"the tag {node.tag} is not supported"
                self.mistakes.add(self._error(node, at, reason, "write plain YAML"))
                return None

    def _error(self, node: yaml.Node, at: str, reason: str, fix: str) -> ConfigError:
        return ConfigError(at, reason, fix, file=self.name, line=node.start_mark.line + 1)


def _is_empty(node: yaml.Node) -> bool:
    """Return whether a value is not written at all, as that of `id` in `{id}`."""
    return isinstance(node, yaml.ScalarNode) and not node.style and node.start_mark.index == node.end_mark.index
