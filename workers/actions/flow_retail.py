"""Write actions on Flow Retail. Created or added twice, there are two, so those are unsafe."""

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec import Struct

from service.actions import ActionContext, RetrySafety
from service.platforms.flow_retail.client import FlowRetailCustomerInput
from service.platforms.flow_retail.connector import FlowRetail
from workers.actions.platform_write import PlatformWrite, RecordId, call_context, connector_of, read_input, write_result


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


class FlowRetailDeleteExtension(PlatformWrite, frozen=True, kw_only=True, tag="flow_retail_delete_extension"):
    """`extension` is its name, as TWO_INVOICE; `organization` the UID beside it."""

    repeat: ClassVar[RetrySafety] = "idempotent"
    summary: ClassVar[str] = "Takes an extension from a customer on Flow Retail."
    ids: ClassVar[tuple[str, ...]] = ("customer", "extension", "organization")

    customer: RecordId
    extension: RecordId
    organization: RecordId

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """See Action. Gives `http_status`, and `id` where the answer states one."""
        client = connector_of(context, inputs["account"], FlowRetail).client
        return await write_result(
            client.delete_extension(
                inputs["customer"], inputs["extension"], inputs["organization"], call_context(context)
            )
        )


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
