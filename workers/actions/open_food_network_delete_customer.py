"""`do: open_food_network_delete_customer`: deletes a customer on Open Food Network.

One that is gone already counts as deleted: idempotent.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from service.actions import ActionContext, RetrySafety
from service.platforms.open_food_network import OpenFoodNetwork
from workers.platform_writes import PlatformWrite, RecordId, call_context, connector_of, write_result


class OpenFoodNetworkDeleteCustomer(PlatformWrite, frozen=True, kw_only=True, tag="open_food_network_delete_customer"):
    """`customer` is a template of the customer's id."""

    repeat: ClassVar[RetrySafety] = "idempotent"
    summary: ClassVar[str] = "Deletes a customer on Open Food Network."
    ids: ClassVar[tuple[str, ...]] = ("customer",)

    customer: RecordId

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """See Action. Gives `http_status`, and `id` where the answer states one."""
        client = connector_of(context, inputs["account"], OpenFoodNetwork).client
        return await write_result(client.delete_customer(inputs["customer"], call_context(context)))
