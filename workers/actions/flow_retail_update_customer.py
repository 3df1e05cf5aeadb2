"""`do: flow_retail_update_customer`: changes a customer on Flow Retail.

Changed twice, it is the same: idempotent.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec import Struct

from service.actions import ActionContext, Repeat
from service.platforms.flow_retail import FlowRetail
from service.platforms.flow_retail_client import CustomerInput
from workers.platform_writes import Id, PlatformWrite, call_context, connector_of, done, read_input


class FlowRetailUpdateCustomer(PlatformWrite, frozen=True, kw_only=True, tag="flow_retail_update_customer"):
    """`change` is what of it changes; what is left out stays."""

    repeat: ClassVar[Repeat] = "idempotent"
    summary: ClassVar[str] = "Changes a customer on Flow Retail."
    ids: ClassVar[tuple[str, ...]] = ("customer",)
    body: ClassVar[tuple[str, type[Struct]] | None] = ("change", CustomerInput)

    customer: Id
    change: dict[str, Any]

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """See Action. Gives `http_status`, and `id` where the answer states one."""
        client = connector_of(context, inputs["account"], FlowRetail).client
        return await done(
            client.update_customer(
                inputs["customer"], read_input(inputs, "change", CustomerInput), call_context(context)
            )
        )
