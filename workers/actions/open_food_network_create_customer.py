"""`do: open_food_network_create_customer`.

Creates a customer on Open Food Network, or updates the one of that e-mail address. The instance knows a customer by
e-mail and enterprise, so that made twice it is one: idempotent.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec import Struct

from service.actions import ActionContext, RetrySafety
from service.platforms.open_food_network import OpenFoodNetwork
from service.platforms.open_food_network_client import OpenFoodNetworkCustomerInput
from workers.platform_writes import PlatformWrite, call_context, connector_of, read_input, write_result


class OpenFoodNetworkCreateCustomer(PlatformWrite, frozen=True, kw_only=True, tag="open_food_network_create_customer"):
    """`customer` is what it is written as; `enterprise_id` and `email` are due."""

    repeat: ClassVar[RetrySafety] = "idempotent"
    summary: ClassVar[str] = "Creates a customer on Open Food Network, or updates the one of that e-mail address."
    body: ClassVar[tuple[str, type[Struct]] | None] = ("customer", OpenFoodNetworkCustomerInput)

    customer: dict[str, Any]

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """See Action. Gives `http_status`, and `id` where the answer states one."""
        client = connector_of(context, inputs["account"], OpenFoodNetwork).client
        return await write_result(
            client.create_customer(read_input(inputs, "customer", OpenFoodNetworkCustomerInput), call_context(context))
        )
