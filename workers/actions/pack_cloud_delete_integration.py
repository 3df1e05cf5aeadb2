"""`do: pack_cloud_delete_integration`: deletes an integration on pack.cloud.

One that is gone already counts as deleted: idempotent.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from service.actions import ActionContext, RetrySafety
from service.platforms.pack_cloud import PackCloud
from workers.platform_writes import PlatformWrite, RecordId, call_context, connector_of, write_result


class PackCloudDeleteIntegration(PlatformWrite, frozen=True, kw_only=True, tag="pack_cloud_delete_integration"):
    """`integration` is a template of the integration's id."""

    repeat: ClassVar[RetrySafety] = "idempotent"
    summary: ClassVar[str] = "Deletes an integration on pack.cloud."
    ids: ClassVar[tuple[str, ...]] = ("integration",)

    integration: RecordId

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """See Action. Gives `http_status`, and `id` where the answer states one."""
        client = connector_of(context, inputs["account"], PackCloud).client
        return await write_result(client.delete_integration(inputs["integration"], call_context(context)))
