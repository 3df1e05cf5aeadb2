"""`do: flow_retail_create_customer`: creates a customer on Flow Retail.

Created twice, there are two: unsafe.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec import Struct

from service.actions import ActionContext, Repeat
from service.platforms.flow_retail import FlowRetail
from service.platforms.flow_retail_client import CustomerInput
from workers.platform_writes import PlatformWrite, call_context, connector_of, done, read_input


class FlowRetailCreateCustomer(PlatformWrite, frozen=True, kw_only=True, tag="flow_retail_create_customer"):
    """`new` is what the customer is created from."""

    repeat: ClassVar[Repeat] = "unsafe"
    summary: ClassVar[str] = "Creates a customer on Flow Retail."
    body: ClassVar[tuple[str, type[Struct]] | None] = ("new", CustomerInput)

    new: dict[str, Any]

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """See Action. Gives `http_status`, and `id` where the answer states one."""
        client = connector_of(context, inputs["account"], FlowRetail).client
        return await done(client.create_customer(read_input(inputs, "new", CustomerInput), call_context(context)))
