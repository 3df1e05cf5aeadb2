"""Destinations of an installation: configuration without secrets, circuits, pause, resume and test calls."""

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from service.config.destinations import DEFAULT_KIND
from service.destinations.destination import Probe
from service.errors import Rejection
from service.management.audit_entries import record_change
from service.management.audit_log import to_completion
from service.management.circuits import CircuitSnapshot, CircuitStates, ErrorView
from service.throttles.throttles import DESTINATION_PREFIX

HOST_NAME = re.compile(r"[A-Za-z0-9._:-]{1,253}:[0-9]{1,5}")
"""Name of the destination of a plain URL: host and port."""
TEST_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")


class DestinationView(Struct, frozen=True, kw_only=True):
    """Destination with its circuit: `open` until the next probe, or `paused` until an operator resumes it.

    `url` is hidden if it is a secret. A destination of a plain URL has the kind `url` and the name `host:port`; it is
    listed while its circuit is not closed or events wait for it. `parked_jobs` wait for this destination. `last_error`
    is the last error of a call within a week.
    """

    name: str
    kind: str
    url: str
    circuit: Literal["closed", "open", "paused"]
    open_seconds: float | None
    parked_jobs: int
    parked_age_seconds: float
    last_error: ErrorView | None = None


class DestinationDetails(DestinationView, frozen=True, kw_only=True):
    """Destination with its configuration. Secrets are references."""

    config: Mapping[str, Any]


class DestinationOperations(CircuitStates):
    """Operations on the destinations of an installation in the name of an actor."""

    async def list_destinations(self) -> list[DestinationView]:
        """List the destinations of waybill.yaml, and the hosts of plain URLs that have trouble.

        Raises:
            StoreUnavailable: A store does not answer.
        """
        circuits, configured = await self.load_circuits(), self.installation.config().destinations
        hosts = {key.removeprefix(DESTINATION_PREFIX) for key in circuits.keys if key.startswith(DESTINATION_PREFIX)}
        return [self._view(name, circuits) for name in (*configured, *sorted(hosts - configured.keys()))]

    async def get_destination(self, name: str) -> DestinationDetails:
        """Return one destination with its configuration.

        Raises:
            Rejection: 404 `not_found`.
            StoreUnavailable: A store does not answer.
        """
        self._check(name)
        view = self._view(name, await self.load_circuits(DESTINATION_PREFIX + name))
        config = self.installation.config().destinations.get(name)
        shown: dict[str, Any] = {} if config is None else msgspec.to_builtins(config)
        return DestinationDetails(config=shown, **msgspec.structs.asdict(view))

    @to_completion
    async def pause_destination(self, name: str) -> DestinationView:
        """Open the circuit of a destination until it is resumed. Its events are parked and use no attempt.

        Raises:
            Rejection: 404 `not_found`.
            StoreUnavailable: A store does not answer.
        """
        return await self._change_destination(name, "destination.paused", paused=True)

    @to_completion
    async def resume_destination(self, name: str) -> DestinationView:
        """Close the circuit of a destination, paused or open. Its events are freed gradually.

        Raises:
            Rejection: 404 `not_found`.
            StoreUnavailable: A store does not answer.
        """
        return await self._change_destination(name, "destination.resumed", paused=False)

    @to_completion
    async def test_destination(self, name: str, method: str, path: str) -> Probe:
        """Send one request to a destination of waybill.yaml, outside its limits, and return it with the answer.

        Raises:
            Rejection: 404 `not_found`; 422 `invalid`: method or path, or a kind with a test message of its own.
            TransientError, PermanentError: The request could not be built.
        """
        if method not in TEST_METHODS:
            raise Rejection(
                422, "invalid", f"method {method[:20]} is not supported. Use one of {', '.join(TEST_METHODS)}."
            )
        if path and not path.startswith("/"):
            raise Rejection(422, "invalid", "path does not start with /. Write a path such as /health.")
        destinations = self.installation.destinations()
        if name not in destinations:
            raise self._not_found(name)
        kind = destinations[name].config.__struct_config__.tag
        if kind != DEFAULT_KIND and (path or method != "GET"):
            raise Rejection(422, "invalid", f"{name} is of kind {kind}, whose test takes neither method nor path.")
        await record_change(self.installation.stores[0], self.actor, "destination.tested", name)
        return await destinations[name].probe(method, path)

    async def _change_destination(self, name: str, audit_action: str, *, paused: bool) -> DestinationView:
        self._check(name)
        key = DESTINATION_PREFIX + name
        await self.change_circuit(key, audit_action, name, paused=paused)
        return self._view(name, await self.load_circuits(key))

    def _check(self, name: str) -> None:
        if name not in self.installation.config().destinations and not HOST_NAME.fullmatch(name):
            raise self._not_found(name)

    def _not_found(self, name: str) -> Rejection:
        known = ", ".join(self.installation.config().destinations) or "none is configured"
        return Rejection(404, "not_found", f"destination {name[:64]} not found. Use one of: {known}.")

    def _view(self, name: str, circuits: CircuitSnapshot) -> DestinationView:
        config = self.installation.config().destinations.get(name)
        return DestinationView(
            name=name,
            kind="url" if config is None else str(config.__struct_config__.tag),
            url="" if config is None else config.shown_url,
            **circuits.fields(DESTINATION_PREFIX + name),
        )
