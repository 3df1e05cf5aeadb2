"""Items of lists in a JSON body, also of lists inside lists."""

from service.bodies.strict_json import read_children, read_items

EACH = "*"
"""Step of a pointer that stands for all items of a list."""


def items_at(body: bytes, steps: tuple[str, ...]) -> list[bytes] | None:
    """Return the items of the list at a pointer as JSON text, None if there is no list.

    With a step `*`, the items of all lists below are returned. An item without such a list has none. A last step `*`
    may be omitted.

    Raises:
        Rejection: 400 `malformed_payload`: not JSON, or a duplicate key on the path.
    """
    if not steps or steps == (EACH,):
        return read_items(body)
    step, rest = steps[0], steps[1:]
    if step != EACH:
        members = read_children(body)
        return items_at(bytes(members[step]), rest) if step in members else None
    items = read_items(body)
    if items is None:
        return None
    return [item for each in items for item in items_at(each, rest) or ()]
