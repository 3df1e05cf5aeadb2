"""`do: flow_retail_add_extension`: adds an extension to a customer on Flow Retail.

What adding it twice does is not documented: unsafe.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from service.actions import ActionContext, RetrySafety
from service.platforms.flow_retail import FlowRetail
from workers.platform_writes import PlatformWrite, RecordId, call_context, connector_of, write_result


class FlowRetailAddExtension(PlatformWrite, frozen=True, kw_only=True, tag="flow_retail_add_extension"):
    """`extension` is its name, as TWO_INVOICE; `organization` the UID beside it."""

    repeat: ClassVar[RetrySafety] = "unsafe"
    summary: ClassVar[str] = "Adds an extension to a customer on Flow Retail."
    ids: ClassVar[tuple[str, ...]] = ("customer", "extension", "organization")

    customer: RecordId
    extension: RecordId
    organization: RecordId

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """See Action. Gives `http_status`, and `id` where the answer states one."""
        client = connector_of(context, inputs["account"], FlowRetail).client
        return await write_result(
            client.add_extension(inputs["customer"], inputs["extension"], inputs["organization"], call_context(context))
        )
