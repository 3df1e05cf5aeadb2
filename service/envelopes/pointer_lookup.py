"""JSON pointers folded into one walk: each object on their way is opened once, everything beside it is skipped."""

from service.envelopes.pointers import parse_pointer
from service.envelopes.strict_json import read_children


class PointerTree:
    """A tree of steps: what is wanted here, and which steps lead on."""

    __slots__ = ("names", "steps")

    def __init__(self) -> None:
        self.names: list[str] = []
        self.steps: dict[str, PointerTree] = {}

    def add(self, pointer: str, name: str) -> None:
        """Want what stands at `pointer`, under `name`."""
        walk = self
        for step in parse_pointer(pointer):
            walk = walk.steps.setdefault(step, PointerTree())
        walk.names.append(name)

    def extract(self, text: bytes, found: dict[str, bytes]) -> None:
        """Put the JSON text of what is wanted into `found`, under its names; what is not there is left out.

        Raises:
            Rejection: 400 `malformed_payload`: what is opened is no JSON, or has a key twice.
        """
        for name in self.names:
            found[name] = text
        if self.steps:
            children = read_children(text)
            for step, walk in self.steps.items():
                if step in children:
                    walk.extract(bytes(children[step]), found)
