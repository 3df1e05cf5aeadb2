"""Lookup of several JSON pointers in one pass. Each object on their paths is parsed once, all others are skipped."""

from service.bodies.pointers import parse_pointer
from service.bodies.strict_json import read_children


class PointerTree:
    """A tree of pointers: the names of the pointers that end here, and a subtree for each next step."""

    __slots__ = ("children", "names")

    def __init__(self) -> None:
        self.names: list[str] = []
        self.children: dict[str, PointerTree] = {}

    def add(self, pointer: str, name: str) -> None:
        """Add a pointer, whose value is extracted under `name`."""
        tree = self
        for step in parse_pointer(pointer):
            tree = tree.children.setdefault(step, PointerTree())
        tree.names.append(name)

    def extract(self, text: bytes, found: dict[str, bytes]) -> None:
        """Put the JSON text of the values into `found`, by name. Missing values are left out.

        Raises:
            Rejection: 400 `malformed_payload`: a parsed object is not JSON, or has a duplicate key.
        """
        for name in self.names:
            found[name] = text
        if self.children:
            members = read_children(text)
            for step, subtree in self.children.items():
                if step in members:
                    subtree.extract(bytes(members[step]), found)
