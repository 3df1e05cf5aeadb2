"""/destinations: targets of actions, their circuits, and test calls."""

from collections.abc import Sequence
from typing import Annotated

from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from service.destinations.destination import Probe
from service.ingress.admin.dependencies import Operations
from service.management.destinations import DestinationDetails, DestinationView


class ProbeRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Method and path of a test call."""

    method: Annotated[str, Meta(max_length=20)] = "GET"
    path: Annotated[str, Meta(max_length=2_000)] = ""


class ConfiguredDestinations(Controller):
    """Destinations of actions, without secrets."""

    path = "/destinations"
    tags = ("Installation",)

    @get("/", role="viewer")
    async def list_destinations(self, operations: Operations) -> Sequence[DestinationView]:
        """List the destinations with their circuits and parked jobs."""
        return await operations.list_destinations()

    @get("/{name:str}", role="viewer")
    async def get_destination(self, name: FromPath[str], operations: Operations) -> DestinationDetails:
        """Return one destination with its configuration."""
        return await operations.get_destination(name)

    @post("/{name:str}/pause", role="operator", status_code=200)
    async def pause_destination(self, name: FromPath[str], operations: Operations) -> DestinationView:
        """Open the circuit of a destination until it is resumed. Its events are parked."""
        return await operations.pause_destination(name)

    @post("/{name:str}/resume", role="operator", status_code=200)
    async def resume_destination(self, name: FromPath[str], operations: Operations) -> DestinationView:
        """Close the circuit of a destination. Its events are freed gradually."""
        return await operations.resume_destination(name)

    @post("/{name:str}/test", role="admin", status_code=200)
    async def test_destination(
        self, name: FromPath[str], data: JSONBody[ProbeRequest], operations: Operations
    ) -> Probe:
        """Send one request with the credentials of the destination, outside its limits."""
        return await operations.test_destination(name, data.method, data.path)
