"""Strict YAML: parse one file into plain data, or raise a ConfigError with the path.

Based on the safe loader of PyYAML. In addition it rejects duplicate keys, keys that are not text, tags, and alias
bombs: files that are small on disk but large in memory. Scalars follow YAML 1.2: `yes`, `on`, `12:30` and `0123` are
text.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from service.errors import ConfigError
from service.events import JsonValue

FILE_BYTES_MAX = 1_048_576
NODES_MAX = 100_000
"""Maximum number of values in a file after the expansion of all aliases."""
DEPTH_MAX = 50

_TAG = "tag:yaml.org,2002:"
_RESOLVERS = {
    "null": (r"~|null|", "~n"),
    "bool": (r"true|false", "tf"),
    "int": (r"[-+]?(?:0|[1-9][0-9]{0,17})", "-+0123456789"),
    "float": (r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
}


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    table: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for name, (pattern, first_letters) in _RESOLVERS.items():
        for letter in [*first_letters, ""]:
            table.setdefault(letter, []).append((f"{_TAG}{name}", re.compile(rf"(?:{pattern})\Z")))
    return table


class _Loader(yaml.SafeLoader):
    """The safe loader with the scalars of YAML 1.2 and a limit on nesting."""

    yaml_implicit_resolvers = _resolvers()  # PyYAML's table: the tags of plain scalars by their first letter

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise yaml.MarkedYAMLError(
                None, None, f"nested deeper than {DEPTH_MAX} levels", self.get_mark(), "nest less deeply"
            )
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def read_yaml(path: Path) -> JsonValue:
    """Read one YAML file as dicts with text keys, lists, text, bools, ints, floats and None.

    Raises:
        ConfigError: the file is missing, too large, not YAML, or contains a rejected construct. The path of the error
            is `<file>:<line>` or the dotted path inside the file.
    """
    try:
        with path.open("rb") as file:
            # One byte more than the limit is enough to detect a file that is too large.
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}", "name an existing, readable file") from None
    if len(content) > FILE_BYTES_MAX:
        raise ConfigError(str(path), f"is larger than {FILE_BYTES_MAX} bytes", "shorten it; only rules can be split")
    try:
        return parse_yaml(content.decode(), str(path))
    except UnicodeDecodeError:
        raise ConfigError(str(path), "is not UTF-8 text", "save it as UTF-8") from None


def parse_yaml(text: str, name: str) -> JsonValue:
    """Parse YAML text.

    Args:
        text: the YAML text.
        name: the name of the text in errors.

    Raises:
        ConfigError: the text is not YAML, or contains a rejected construct.
    """
    try:
        node = _Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        raise ConfigError(where, error.problem or "is not YAML", error.note or "fix the YAML at this line") from None
    except yaml.YAMLError as error:
        raise ConfigError(name, str(error).splitlines()[0], "save it as plain YAML text") from None
    return None if node is None else _Constructor(name).construct(node, "")


class _Constructor:
    """Converts a graph of nodes into plain data. Counts the nodes, so that an alias bomb is rejected early."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes = 0

    def construct(self, node: yaml.Node, at: str, depth: int = 0) -> JsonValue:
        self.nodes += 1
        if self.nodes > NODES_MAX or depth > DEPTH_MAX:
            fix = "write less, or use fewer aliases"
            raise ConfigError(at or self.name, f"more than {NODES_MAX} values or {DEPTH_MAX} levels", fix)
        # Check the tag as well: `!!set` and application tags are not plain data.
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._construct_mapping(node, at, depth)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.construct(item, f"{at}[{index}]", depth + 1) for index, item in enumerate(node.value)]
        return self._construct_scalar(node, at)

    def _construct_mapping(self, node: yaml.MappingNode, at: str, depth: int) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, at)
            inner = f"{at}.{key}" if at else key
            if key in data:
                line = key_node.start_mark.line + 1
                raise ConfigError(inner, f"is a duplicate key, repeated in line {line}", "remove one of the two")
            data[key] = self.construct(value_node, inner, depth + 1)
        return data

    def _key(self, node: yaml.Node, at: str) -> str:
        if isinstance(node, yaml.ScalarNode) and node.tag == _TAG + "str":
            return str(node.value)
        line = node.start_mark.line + 1
        raise ConfigError(at or self.name, f"the key in line {line} is not text", "put the key in quotes")

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
                return int(value)
            case "float" if re.fullmatch(_RESOLVERS["float"][0], value):
                return float(value)
            case _:
                raise ConfigError(at or self.name, f"the tag {node.tag} is not supported", "write plain YAML")
