"""Circuits of platform accounts: state, parked jobs, pause and resume by an operator."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from msgspec import Struct

from service.errors import Rejection
from service.management.audit_entries import record_change
from service.management.audit_log import to_completion
from service.management.event_filter import format_timestamp
from service.management.installation import InstallationOperations
from service.store.platforms.parking import ParkedJobs
from service.store.platforms.throttle import LastError

PAUSED_SECONDS_MIN = 10 * 365 * 86_400.0
"""A circuit that stays open for longer was paused by an operator."""


class ErrorView(Struct, frozen=True, kw_only=True):
    """Last error of the calls to an account or destination. `http_status` is null if there was no response."""

    at: str
    error_kind: str
    http_status: int | None


class CircuitView(Struct, frozen=True, kw_only=True):
    """Circuit of an account: `open` until the next probe, or `paused` until an operator resumes the account.

    `open_seconds` is the time until the next probe, null while paused. `parked_jobs` wait for this account,
    `parked_age_seconds` is the age of the oldest. `last_error` is the last error of a call within a week.
    """

    account: str
    kind: str
    circuit: Literal["closed", "open", "paused"]
    open_seconds: float | None
    parked_jobs: int
    parked_age_seconds: float
    last_error: ErrorView | None = None


class CircuitOperations(InstallationOperations):
    """Operations on the circuits of an installation in the name of an actor."""

    async def list_circuits(self) -> list[CircuitView]:
        """List the accounts of waybill.yaml with their circuits.

        Raises:
            StoreUnavailable: A store does not answer.
        """
        limits, platforms = self.installation.stores[0].limits, self.installation.config().platforms
        states = CircuitStates(
            await limits.open_circuits(),
            [await store.parking.accounts() for store in self.installation.stores],
            await limits.last_errors(list(platforms)),
        )
        return [
            CircuitView(
                account=account,
                kind=str(type(platform).__struct_config__.tag),
                **read_circuit(account, states),
            )
            for account, platform in platforms.items()
        ]

    @to_completion
    async def pause_account(self, account: str) -> CircuitView:
        """Open the circuit of an account until it is resumed. Its events are parked.

        Raises:
            Rejection: 404 `not_found`.
            StoreUnavailable: A store does not answer.
        """
        await self._circuit(account)
        await self.installation.stores[0].parking.pause(account)
        await record_change(self.stores[0].store, self.actor, "platform.paused", account)
        return await self._circuit(account)

    @to_completion
    async def resume_account(self, account: str) -> CircuitView:
        """Close the circuit of an account, paused or open. Its events are freed gradually.

        Raises:
            Rejection: 404 `not_found`.
            StoreUnavailable: A store does not answer.
        """
        await self._circuit(account)
        await self.installation.stores[0].parking.resume(account)
        await record_change(self.stores[0].store, self.actor, "platform.resumed", account)
        return await self._circuit(account)

    async def _circuit(self, account: str) -> CircuitView:
        for view in await self.list_circuits():
            if view.account == account:
                return view
        raise Rejection(404, "not_found", f"platform {account[:64]} not found")


class CircuitFields(TypedDict):
    """Fields of a view with the state of a circuit and the jobs that wait for it."""

    circuit: Literal["closed", "open", "paused"]
    open_seconds: float | None
    parked_jobs: int
    parked_age_seconds: float
    last_error: ErrorView | None


class CircuitStates(Struct, frozen=True):
    """States by the names of accounts and destinations in the store: circuits, parked jobs per store, last errors."""

    circuits: Mapping[str, float]
    parked: Sequence[Mapping[str, ParkedJobs]]
    errors: Mapping[str, LastError] = {}


def read_circuit(key: str, states: CircuitStates) -> CircuitFields:
    """Return the state of the circuit of an account or destination. `key` is its name in the store."""
    seconds = states.circuits.get(key)
    here = [jobs[key] for jobs in states.parked if key in jobs]
    paused = seconds is not None and seconds > PAUSED_SECONDS_MIN
    error = states.errors.get(key)
    return {
        "circuit": "paused" if paused else "open" if seconds else "closed",
        "open_seconds": None if paused else seconds or 0.0,
        "parked_jobs": sum(each.jobs for each in here),
        "parked_age_seconds": max((each.age_seconds for each in here), default=0.0),
        "last_error": error
        and ErrorView(at=format_timestamp(error.at_ms), error_kind=error.kind, http_status=error.http_status or None),
    }
