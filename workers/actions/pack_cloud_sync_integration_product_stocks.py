"""`do: pack_cloud_sync_integration_product_stocks`.

Begins to synchronize the product stocks of an integration on pack.cloud. The platform begins it and does not say when
it is done, nor what beginning it twice does: unsafe.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from service.actions import ActionContext, RetrySafety
from service.platforms.pack_cloud import PackCloud
from workers.platform_writes import PlatformWrite, RecordId, call_context, connector_of, write_result


class PackCloudSyncIntegrationProductStocks(
    PlatformWrite, frozen=True, kw_only=True, tag="pack_cloud_sync_integration_product_stocks"
):
    """`integration` is a template of the integration's id."""

    repeat: ClassVar[RetrySafety] = "unsafe"
    summary: ClassVar[str] = "Begins to synchronize the product stocks of an integration on pack.cloud."
    ids: ClassVar[tuple[str, ...]] = ("integration",)

    integration: RecordId

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """See Action. Gives `http_status`, and `id` where the answer states one."""
        client = connector_of(context, inputs["account"], PackCloud).client
        return await write_result(client.sync_integration_product_stocks(inputs["integration"], call_context(context)))
