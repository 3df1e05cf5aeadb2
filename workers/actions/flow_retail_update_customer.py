"""`do: flow_retail_update_customer`: changes a customer on Flow Retail.

Changed twice, it is the same: idempotent.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec import Struct

from service.actions import ActionContext, RetrySafety
from service.platforms.flow_retail import FlowRetail
from service.platforms.flow_retail_client import FlowRetailCustomerInput
from workers.platform_writes import PlatformWrite, RecordId, call_context, connector_of, read_input, write_result


class FlowRetailUpdateCustomer(PlatformWrite, frozen=True, kw_only=True, tag="flow_retail_update_customer"):
    """`change` is what of it changes; what is left out stays."""

    repeat: ClassVar[RetrySafety] = "idempotent"
    summary: ClassVar[str] = "Changes a customer on Flow Retail."
    ids: ClassVar[tuple[str, ...]] = ("customer",)
    body: ClassVar[tuple[str, type[Struct]] | None] = ("change", FlowRetailCustomerInput)

    customer: RecordId
    change: dict[str, Any]

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """See Action. Gives `http_status`, and `id` where the answer states one."""
        client = connector_of(context, inputs["account"], FlowRetail).client
        return await write_result(
            client.update_customer(
                inputs["customer"], read_input(inputs, "change", FlowRetailCustomerInput), call_context(context)
            )
        )
