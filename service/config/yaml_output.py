"""Output of YAML that `strict_yaml` reads back as the same data."""

from typing import Any

import msgspec
import yaml

from service.config.strict_yaml import RESOLVERS


class _Dumper(yaml.SafeDumper):
    """The safe dumper with the scalars of the strict loader: a text such as `1e3` is put in quotes."""

    yaml_implicit_resolvers = RESOLVERS

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the signature of PyYAML
        """Write equal parts in full."""
        return True


_BREAKS = frozenset("\r\x85\u2028\u2029")
"""Line breaks of YAML other than the line feed: they are kept in double quotes only."""


def _represent_text(_dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if not _BREAKS.isdisjoint(text) else None
    return yaml.ScalarNode("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def write_yaml(value: Any) -> str:  # noqa: ANN401 - any struct or plain data
    """Return a value as YAML, in the order of its fields."""
    plain = msgspec.to_builtins(value)
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf"))
