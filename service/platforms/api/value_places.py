"""Places of values in a response: in its plain JSON, or in structs to which its bytes are decoded. Pure.

A field map is compiled for one of them. Decoding to structs skips all members that no field needs. Values stay plain
JSON, numbers that are not whole are Decimal, and the same conversions read them.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Protocol, Self, cast

import msgspec
from msgspec import UNSET, Struct, UnsetType

from service.bodies.pointers import resolve_pointer
from service.platforms.api.coercion import as_objects
from service.platforms.api.decoding import typed_decoder

PointerSteps = tuple[str, ...]
ValueGetter = Callable[[Any], Any]
"""From an object of the response to a value in it; UNSET if there is none."""

EACH = "*"
"""Step of a pointer that stands for all items of a list."""


class NoStructError(Exception):
    """A pointer leads to an item of a list, or to a whole document, so that no struct has a place for it."""


class ValuePlaces(Protocol):
    """Places below one object."""

    def value(self, steps: PointerSteps) -> ValueGetter:
        """Return the getter of a value."""
        ...

    def presence(self, steps: PointerSteps) -> ValueGetter:
        """Return the getter of True for an object, and of None or UNSET without one."""
        ...

    def elements(self, steps: PointerSteps) -> tuple[ValueGetter, "ValuePlaces"]:
        """Return the getter of a list of objects, of None or UNSET without one; and the places below each."""
        ...


class JsonPlaces:
    """Places in plain JSON."""

    def value(self, steps: PointerSteps) -> ValueGetter:
        """Return the getter of a value. With a step `*` it is the list of the values of all items."""
        if EACH in steps:
            return lambda node: _each(node, steps)
        if len(steps) != 1:
            return lambda node: resolve_pointer(node, steps)
        [step] = steps
        return lambda node: node.get(step, UNSET) if node.__class__ is dict else resolve_pointer(node, steps)

    def presence(self, steps: PointerSteps) -> ValueGetter:
        """Return the getter of True for an object."""
        get = self.value(steps)
        return lambda node: _presence(get(node))

    def elements(self, steps: PointerSteps) -> tuple[ValueGetter, Self]:
        """Return the getter of a list of objects."""
        get = self.value(steps)
        return lambda node: as_objects(get(node)), self


JSON = JsonPlaces()


class _Member:
    """Member of an object: a value, a list of objects, or an object with members of its own."""

    __slots__ = ("element", "is_value", "members", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_value = False
        self.element: _Member | None = None
        self.members: dict[str, _Member] = {}

    def at(self, steps: PointerSteps) -> "_Member":
        """Return the member at a pointer, which is added if it is new."""
        member = self
        for step in steps:
            if step == EACH or step.isdigit():
                raise NoStructError
            member = member.members.setdefault(step, _Member(f"member_{len(member.members)}"))
        if member is self:
            raise NoStructError
        return member

    def structure(self) -> type[Struct]:
        """Build the struct of the object."""
        fields = [(each.name, each.annotation(), UNSET) for each in self.members.values()]
        names = {each.name: key for key, each in self.members.items()}
        try:
            return msgspec.defstruct("Members", fields, rename=names, gc=False)
        except ValueError as error:  # a name that JSON escapes
            raise NoStructError from error

    def annotation(self) -> Any:  # noqa: ANN401 - a type
        """Return the type of the member. An object with another structure is left to plain JSON."""
        if self.is_value:
            if self.has_objects_in_lists():
                raise NoStructError
            return Any
        if self.element is None:
            return self.structure() | UnsetType | None
        if self.members:
            raise NoStructError
        return list[self.element.structure()] | UnsetType | None

    def has_objects_in_lists(self) -> bool:
        """Return whether the objects of a list are needed, here or below."""
        return self.element is not None or any(each.has_objects_in_lists() for each in self.members.values())


class StructPlaces:
    """Places in structs. The first compilation collects the pointers; after `build`, the second one gets the getters.

    Raises:
        NoStructError: from each method.
    """

    def __init__(self, root: _Member | None = None) -> None:
        self._root = root or _Member("root")
        self._is_built = False

    def build(self) -> msgspec.json.Decoder[Struct]:
        """Return the decoder of all structs."""
        structure = self._root.structure()
        self._is_built = True
        return typed_decoder(structure)

    def value(self, steps: PointerSteps) -> ValueGetter:
        """Return the getter of a value."""
        self._root.at(steps).is_value = True
        return self._getter(steps)

    def presence(self, steps: PointerSteps) -> ValueGetter:
        """Return the getter of True for an object."""
        self._root.at(steps)
        get = self._getter(steps)
        return lambda node: _presence(get(node))

    def elements(self, steps: PointerSteps) -> tuple[ValueGetter, "StructPlaces"]:
        """Return the getter of the objects in a list."""
        member = self._root.at(steps)
        element = member.element = member.element or _Member("element")
        inner = StructPlaces(element)
        inner._is_built = self._is_built
        return self._getter(steps), inner

    def inside(self, steps: PointerSteps) -> "StructPlaces":
        """Return the places below an object in the response."""
        inner = StructPlaces(self._root.at(steps)) if steps else self
        inner._is_built = self._is_built  # noqa: SLF001 - of this class
        return inner

    def object_at(self, steps: PointerSteps) -> ValueGetter:
        """Return the getter of an object for `inside`."""
        return self._getter(steps) if steps else lambda node: node

    def _getter(self, steps: PointerSteps) -> ValueGetter:
        """Return the getter of a member. Below a value it reads plain JSON."""
        get: ValueGetter | None = None
        member = self._root
        for index, step in enumerate(steps):
            if get is not None and member.is_value:
                return _below(get, JSON.value(steps[index:]))
            member = member.members[step]
            own = attrgetter(member.name)
            get = own if get is None else _below(get, own)
        if get is None:
            raise NoStructError
        return get


def _below(outer: ValueGetter, inner: ValueGetter) -> ValueGetter:
    def get(node: object) -> object:
        found = outer(node)
        return UNSET if found is None or found is UNSET else inner(found)

    return get


def _presence(value: object) -> object:
    return True if isinstance(value, dict | Struct) else None if value is None else UNSET


def _each(node: object, steps: PointerSteps) -> object:
    """Return the values at a pointer with steps `*`, as one list."""
    if EACH not in steps:
        return resolve_pointer(node, steps)
    position = steps.index(EACH)
    items, rest = resolve_pointer(node, steps[:position]), steps[position + 1 :]
    if not isinstance(items, list):
        return None if items is None else UNSET
    found: list[object] = []
    for item in cast("list[object]", items):
        value = _each(item, rest)
        if isinstance(value, list):
            found.extend(cast("list[object]", value))
        elif value is not UNSET and value is not None:
            found.append(value)
    return found
