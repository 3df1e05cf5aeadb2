"""`do: pack_cloud_create_integration`: creates an integration on pack.cloud.

Created twice, there are two: unsafe.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec import Struct

from service.actions import ActionContext, RetrySafety
from service.platforms.pack_cloud import PackCloud
from service.platforms.pack_cloud_client import NewIntegration
from workers.platform_writes import PlatformWrite, call_context, connector_of, read_input, write_result


class PackCloudCreateIntegration(PlatformWrite, frozen=True, kw_only=True, tag="pack_cloud_create_integration"):
    """`new` is what it is created from: `name`, `connector_id` and the `settings` of its connector."""

    repeat: ClassVar[RetrySafety] = "unsafe"
    summary: ClassVar[str] = "Creates an integration on pack.cloud."
    body: ClassVar[tuple[str, type[Struct]] | None] = ("new", NewIntegration)

    new: dict[str, Any]

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """See Action. Gives `http_status`, and `id` where the answer states one."""
        client = connector_of(context, inputs["account"], PackCloud).client
        return await write_result(
            client.create_integration(read_input(inputs, "new", NewIntegration), call_context(context))
        )
