"""The audit log: who changed what, which one, and from where; one line at a change's end, never what was written."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Literal, TypeVar

from msgspec import Struct

from service.config import Role
from service.log import get_logger

T = TypeVar("T")


class Actor(Struct, frozen=True):
    """Who acts: the name of a token, or of the account at a terminal; the role; by API or command; the machine."""

    name: str
    role: Role
    via: Literal["api", "command"] = "api"
    client_host: str = ""


def log_admin_change(operator: Actor, audit_action: str, target: str, **fields: object) -> None:
    """Log `admin.changed`: `audit_action` in the past tense (`rule.updated`), `target` the id of what was changed."""
    get_logger().info(
        "admin.changed",
        actor=operator.name,
        role=operator.role,
        via=operator.via,
        client_host=operator.client_host,
        audit_action=audit_action,
        target=target,
        **fields,
    )


async def run_to_completion(change: Coroutine[Any, Any, T]) -> T:
    """Let a change that was begun end and be told, also where whoever asked for it leaves meanwhile."""
    task = asyncio.ensure_future(change)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        raise
