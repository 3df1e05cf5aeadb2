"""Lines of mistakes: the path of a mistake is followed in the YAML nodes of its file, down to the deepest value."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from service.config.strict_yaml import compose
from service.errors import ConfigError


def locate(mistakes: Iterable[ConfigError], files: Sequence[Path], root: str = "") -> list[ConfigError]:
    """Return the mistakes with their file and line. A mistake that has a file stays as it is.

    Args:
        mistakes: the mistakes.
        files: the files that the paths may lead into; the one in which a path leads deepest is the file.
        root: the name of a file's value in the paths, such as `rules`.
    """
    found = list(mistakes)
    if all(mistake.file for mistake in found):
        return found
    nodes = [(file, node) for file in files if (node := _compose(file)) is not None]
    return [mistake if mistake.file else _located(mistake, nodes, files, root) for mistake in found]


def _compose(file: Path) -> yaml.Node | None:
    try:
        return compose(file.read_text(), str(file))
    except (OSError, UnicodeDecodeError, ConfigError):
        return None


def _located(
    mistake: ConfigError, nodes: Sequence[tuple[Path, yaml.Node]], files: Sequence[Path], root: str
) -> ConfigError:
    path = mistake.path.removeprefix(root)
    places = [(*_walk(node, path), file) for file, node in nodes]
    depth, line, file = max(places, key=lambda place: place[0], default=(0, 0, files[0]))
    return type(mistake)(
        mistake.path, mistake.reason, mistake.fix, file=str(file), line=line if depth else None, rule_id=mistake.rule_id
    )


def _walk(node: yaml.Node, path: str) -> tuple[int, int]:
    """Follow a path. Return the number of steps that exist, and the line of the last one."""
    depth, line = 0, node.start_mark.line + 1
    while path:
        step = _step(node, path.removeprefix("."))
        if step is None:
            break
        node, line, path = step
        depth += 1
    return depth, line


def _step(node: yaml.Node, path: str) -> tuple[yaml.Node, int, str] | None:
    """Return the value of the first step of a path, its line, and the rest of the path."""
    if isinstance(node, yaml.SequenceNode):
        index, _, rest = path.removeprefix("[").partition("]")
        if not (index.isdigit() and int(index) < len(node.value)):
            return None
        item = node.value[int(index)]
        return item, item.start_mark.line + 1, rest
    if not isinstance(node, yaml.MappingNode):
        return None
    # A key may contain dots: the longest one that fits is the step.
    fitting = [
        (key, value)
        for key, value in node.value
        if isinstance(key, yaml.ScalarNode)
        and (path == key.value or path.startswith((f"{key.value}.", f"{key.value}[")))
    ]
    if not fitting:
        return None
    key, value = max(fitting, key=lambda pair: len(pair[0].value))
    return value, key.start_mark.line + 1, path[len(key.value) :]
