"""Audit log: one line per change, with the actor, the target and the client host, without the written data."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, Literal, ParamSpec, TypeVar

from msgspec import Struct

from service.config import Role
from service.log import get_logger

P = ParamSpec("P")
T = TypeVar("T")


class Actor(Struct, frozen=True):
    """Person or program that calls management: name of a token or of a user, role, interface and client host."""

    name: str
    role: Role
    via: Literal["api", "command", "console"] = "api"
    client_host: str = ""

    def fields(self) -> dict[str, str]:
        """Return the fields of a log line or an entry about a change by this actor."""
        return {"actor": self.name, "role": self.role, "via": self.via, "client_host": self.client_host}


def log_admin_change(actor: Actor, audit_action: str, target: str, **fields: object) -> None:
    """Log `admin.changed`, with an action in the past tense (`rule.updated`) and the id of the changed item."""
    get_logger().info("admin.changed", **actor.fields(), audit_action=audit_action, target=target, **fields)


def to_completion(change: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Complete a change and its audit line even if the caller is cancelled. Decorator of a coroutine function."""

    @functools.wraps(change)
    async def completed(*args: P.args, **kwargs: P.kwargs) -> T:
        task = asyncio.ensure_future(change(*args, **kwargs))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait((task,))
            raise

    return completed
