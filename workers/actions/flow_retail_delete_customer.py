"""`do: flow_retail_delete_customer`: deletes a customer on Flow Retail.

One that is gone already counts as deleted: idempotent.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from service.actions import ActionContext, RetrySafety
from service.platforms.flow_retail import FlowRetail
from workers.platform_writes import PlatformWrite, RecordId, call_context, connector_of, write_result


class FlowRetailDeleteCustomer(PlatformWrite, frozen=True, kw_only=True, tag="flow_retail_delete_customer"):
    """`customer` is a template of the customer's UID."""

    repeat: ClassVar[RetrySafety] = "idempotent"
    summary: ClassVar[str] = "Deletes a customer on Flow Retail."
    ids: ClassVar[tuple[str, ...]] = ("customer",)

    customer: RecordId

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """See Action. Gives `http_status`, and `id` where the answer states one."""
        client = connector_of(context, inputs["account"], FlowRetail).client
        return await write_result(client.delete_customer(inputs["customer"], call_context(context)))
