"""`do: flow_retail_create_customer`: creates a customer on Flow Retail.

Created twice, there are two: unsafe.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec import Struct

from service.actions import ActionContext, RetrySafety
from service.platforms.flow_retail import FlowRetail
from service.platforms.flow_retail_client import FlowRetailCustomerInput
from workers.platform_writes import PlatformWrite, call_context, connector_of, read_input, write_result


class FlowRetailCreateCustomer(PlatformWrite, frozen=True, kw_only=True, tag="flow_retail_create_customer"):
    """`new` is what the customer is created from."""

    repeat: ClassVar[RetrySafety] = "unsafe"
    summary: ClassVar[str] = "Creates a customer on Flow Retail."
    body: ClassVar[tuple[str, type[Struct]] | None] = ("new", FlowRetailCustomerInput)

    new: dict[str, Any]

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """See Action. Gives `http_status`, and `id` where the answer states one."""
        client = connector_of(context, inputs["account"], FlowRetail).client
        return await write_result(
            client.create_customer(read_input(inputs, "new", FlowRetailCustomerInput), call_context(context))
        )
