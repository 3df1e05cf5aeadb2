"""Circuits of platform accounts: state, parked jobs, pause and resume by an operator."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from msgspec import Struct, structs

from service.errors import Rejection
from service.management.audit_entries import record_change
from service.management.audit_log import to_completion
from service.management.event_filter import format_timestamp
from service.management.installation import InstallationOperations
from service.store.platforms.parking import ParkedJobs
from service.store.platforms.throttle import LastError
from service.throttles.throttles import DESTINATION_PREFIX

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


class CircuitFields(TypedDict):
    """Fields of a view with the state of a circuit and the jobs that wait for it."""

    circuit: Literal["closed", "open", "paused"]
    open_seconds: float | None
    parked_jobs: int
    parked_age_seconds: float
    last_error: ErrorView | None


class CircuitSnapshot(Struct, frozen=True):
    """Seconds until the next probe of each circuit that is not closed, parked jobs of each store, and last errors.

    The keys are the names of accounts and destinations in the store.
    """

    open_seconds: Mapping[str, float]
    parked: Sequence[Mapping[str, ParkedJobs]]
    errors: Mapping[str, LastError] = {}

    @property
    def keys(self) -> set[str]:
        """Return the keys with a circuit that is not closed, or with parked jobs."""
        return {*self.open_seconds, *(key for jobs in self.parked for key in jobs)}

    def fields(self, key: str) -> CircuitFields:
        """Return the state of the circuit of an account or destination."""
        seconds = self.open_seconds.get(key)
        here = [jobs[key] for jobs in self.parked if key in jobs]
        paused = seconds is not None and seconds > PAUSED_SECONDS_MIN
        return {
            "circuit": "paused" if paused else "open" if seconds else "closed",
            "open_seconds": None if paused else seconds or 0.0,
            "parked_jobs": sum(each.jobs for each in here),
            "parked_age_seconds": max((each.age_seconds for each in here), default=0.0),
            "last_error": _view_error(self.errors.get(key)),
        }


def _view_error(error: LastError | None) -> ErrorView | None:
    if error is None:
        return None
    at = format_timestamp(error.at_ms)
    return ErrorView(at=at, error_kind=error.kind, http_status=error.http_status or None)


class CircuitStates(InstallationOperations):
    """State and change of the circuits of accounts and destinations. The first store holds them."""

    async def load_circuits(self, *others: str) -> CircuitSnapshot:
        """Return the circuits that are not closed, the parked jobs, and the last errors.

        Errors are those of configured accounts and destinations, of circuits in the snapshot, and of the keys `others`.

        Raises:
            StoreUnavailable: A store does not answer.
        """
        stores, config = self.installation.stores, self.installation.config()
        snapshot = CircuitSnapshot(
            await stores[0].limits.open_circuits(), [await store.parking.accounts() for store in stores]
        )
        destinations = (DESTINATION_PREFIX + name for name in config.destinations)
        keys = {*config.platforms, *destinations, *snapshot.keys, *others}
        return structs.replace(snapshot, errors=await stores[0].limits.last_errors(sorted(keys)))

    async def change_circuit(self, key: str, audit_action: str, target: str, *, paused: bool) -> None:
        """Open a circuit until it is resumed, or close it, and record the change.

        Raises:
            StoreUnavailable: A store does not answer.
        """
        store = self.installation.stores[0]
        await (store.parking.pause(key) if paused else store.parking.resume(key))
        await record_change(store, self.actor, audit_action, target)


class CircuitOperations(CircuitStates):
    """Operations on the circuits of accounts in the name of an actor."""

    async def list_circuits(self) -> list[CircuitView]:
        """List the accounts of waybill.yaml with their circuits.

        Raises:
            StoreUnavailable: A store does not answer.
        """
        circuits = await self.load_circuits()
        return [
            CircuitView(account=account, kind=str(type(config).__struct_config__.tag), **circuits.fields(account))
            for account, config in self.installation.config().platforms.items()
        ]

    @to_completion
    async def pause_account(self, account: str) -> CircuitView:
        """Open the circuit of an account until it is resumed. Its events are parked.

        Raises:
            Rejection: 404 `not_found`.
            StoreUnavailable: A store does not answer.
        """
        return await self._change_account(account, "platform.paused", paused=True)

    @to_completion
    async def resume_account(self, account: str) -> CircuitView:
        """Close the circuit of an account, paused or open. Its events are freed gradually.

        Raises:
            Rejection: 404 `not_found`.
            StoreUnavailable: A store does not answer.
        """
        return await self._change_account(account, "platform.resumed", paused=False)

    async def _change_account(self, account: str, audit_action: str, *, paused: bool) -> CircuitView:
        await self._circuit(account)
        await self.change_circuit(account, audit_action, account, paused=paused)
        return await self._circuit(account)

    async def _circuit(self, account: str) -> CircuitView:
        for view in await self.list_circuits():
            if view.account == account:
                return view
        raise Rejection(404, "not_found", f"platform {account[:64]} not found")
