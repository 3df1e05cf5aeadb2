"""Newest changes from the store, for people. The log lines `admin.changed` are complete; the store keeps the newest.

Erasures and writes to platforms are in the log only: their targets name customers, which an erasure removes from the
store.
"""

import contextlib
import time
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from service.errors import StoreUnavailable
from service.management.audit_log import Actor, log_admin_change
from service.management.event_filter import format_timestamp
from service.management.installation import InstallationOperations
from service.store import Store


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One change: time, actor with role, interface and client host, the action in the past tense, and its target."""

    at: str
    actor: str
    role: str
    via: str
    client_host: str
    audit_action: str
    target: str
    details: Mapping[str, Any]


async def record_change(store: Store, actor: Actor, audit_action: str, target: str, **details: object) -> None:
    """Log a change, and store its entry. The log line remains if the store does not answer."""
    log_admin_change(actor, audit_action, target, **details)
    entry = AuditEntry(
        at=format_timestamp(time.time() * 1000),
        **actor.fields(),
        audit_action=audit_action,
        target=target,
        details=details,
    )
    with contextlib.suppress(StoreUnavailable):
        await store.audit.add(msgspec.json.encode(entry))


class AuditOperations(InstallationOperations):
    """The newest entries of the audit log. Read-only."""

    async def list_changes(self, limit: int) -> list[AuditEntry]:
        """List the newest changes, newest first. An entry that cannot be read is left out.

        Raises:
            StoreUnavailable: A store does not answer.
        """
        found: list[AuditEntry] = []
        for named in self.stores:
            for stored in await named.store.audit.entries():
                with contextlib.suppress(msgspec.DecodeError):
                    found.append(msgspec.json.decode(stored, type=AuditEntry))
        return sorted(found, key=lambda entry: entry.at, reverse=True)[:limit]
