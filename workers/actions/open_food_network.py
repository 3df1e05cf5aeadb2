"""Write actions on Open Food Network."""

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec import Struct

from service.actions import ActionContext, RetrySafety
from service.platforms.open_food_network.client import OpenFoodNetworkCustomerInput
from service.platforms.open_food_network.connector import OpenFoodNetwork
from workers.actions.platform_write import PlatformWrite, RecordId, call_context, connector_of, read_input, write_result


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


class OpenFoodNetworkUpdateCustomer(PlatformWrite, frozen=True, kw_only=True, tag="open_food_network_update_customer"):
    """`change` is what it is written as; `enterprise_id` and `email` are due each time, what else is left out stays."""

    repeat: ClassVar[RetrySafety] = "idempotent"
    summary: ClassVar[str] = "Changes a customer on Open Food Network."
    ids: ClassVar[tuple[str, ...]] = ("customer",)
    body: ClassVar[tuple[str, type[Struct]] | None] = ("change", OpenFoodNetworkCustomerInput)

    customer: RecordId
    change: dict[str, Any]

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """See Action. Gives `http_status`, and `id` where the answer states one."""
        client = connector_of(context, inputs["account"], OpenFoodNetwork).client
        return await write_result(
            client.update_customer(
                inputs["customer"], read_input(inputs, "change", OpenFoodNetworkCustomerInput), call_context(context)
            )
        )
