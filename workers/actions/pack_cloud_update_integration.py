"""`do: pack_cloud_update_integration`: changes an integration on pack.cloud.

Changed twice, it is the same: idempotent.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec import Struct

from service.actions import ActionContext, RetrySafety
from service.platforms.pack_cloud import PackCloud
from service.platforms.pack_cloud_client import IntegrationChange
from workers.platform_writes import PlatformWrite, RecordId, call_context, connector_of, read_input, write_result


class PackCloudUpdateIntegration(PlatformWrite, frozen=True, kw_only=True, tag="pack_cloud_update_integration"):
    """`change` is what of it changes; what is left out stays."""

    repeat: ClassVar[RetrySafety] = "idempotent"
    summary: ClassVar[str] = "Changes an integration on pack.cloud."
    ids: ClassVar[tuple[str, ...]] = ("integration",)
    body: ClassVar[tuple[str, type[Struct]] | None] = ("change", IntegrationChange)

    integration: RecordId
    change: dict[str, Any]

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """See Action. Gives `http_status`, and `id` where the answer states one."""
        client = connector_of(context, inputs["account"], PackCloud).client
        return await write_result(
            client.update_integration(
                inputs["integration"], read_input(inputs, "change", IntegrationChange), call_context(context)
            )
        )
