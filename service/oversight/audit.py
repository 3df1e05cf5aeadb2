"""The audit log: who changed what, which one, and from where; one line at a change's end, never what was written."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Literal, TypeVar

from msgspec import Struct

from service.config import Role
from service.log import get_logger

Done = TypeVar("Done")


class Operator(Struct, frozen=True):
    """Who acts: the name of a token, or of the account at a terminal; the role; which door, and from which machine."""

    name: str
    role: Role
    door: Literal["api", "command"] = "api"
    peer: str = ""


def tell_change(operator: Operator, what: str, target: str, **fields: object) -> None:
    """Log `admin.changed`: `what` in the past tense (`rule.updated`), `target` the id of what was changed."""
    get_logger().info(
        "admin.changed",
        actor=operator.name,
        role=operator.role,
        door=operator.door,
        peer=operator.peer,
        what=what,
        target=target,
        **fields,
    )


async def to_its_end(change: Coroutine[Any, Any, Done]) -> Done:
    """Let a change that was begun end and be told, also where whoever asked for it leaves meanwhile."""
    task = asyncio.ensure_future(change)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        raise
