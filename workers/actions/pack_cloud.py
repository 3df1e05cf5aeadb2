"""Write actions on pack.cloud. Create, execute and sync may not be repeated: unsafe."""

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec import Struct, field

from service.actions import ActionContext, CompileTemplate, RetrySafety, TemplateRenderer
from service.platforms.pack_cloud.client import IntegrationChange, NewIntegration
from service.platforms.pack_cloud.connector import PackCloud
from workers.actions.platform_write import PlatformWrite, RecordId, call_context, connector_of, read_input, write_result


class PackCloudCreateIntegration(PlatformWrite, frozen=True, kw_only=True, tag="pack_cloud_create_integration"):
    """`new` is what it is created from: `name`, `connector_id` and the `settings` of its connector."""

    repeat: ClassVar[RetrySafety] = "unsafe"
    summary: ClassVar[str] = "Creates an integration on pack.cloud."
    body: ClassVar[tuple[str, type[Struct]] | None] = ("new", NewIntegration)

    new: dict[str, Any]

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """See Action. Gives `http_status`, and `id` where the answer states one."""
        client = connector_of(context, inputs["account"], PackCloud).client
        return await write_result(
            client.create_integration(read_input(inputs, "new", NewIntegration), call_context(context))
        )


class PackCloudDeleteIntegration(PlatformWrite, frozen=True, kw_only=True, tag="pack_cloud_delete_integration"):
    """`integration` is a template of the integration's id."""

    repeat: ClassVar[RetrySafety] = "idempotent"
    summary: ClassVar[str] = "Deletes an integration on pack.cloud."
    ids: ClassVar[tuple[str, ...]] = ("integration",)

    integration: RecordId

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """See Action. Gives `http_status`, and `id` where the answer states one."""
        client = connector_of(context, inputs["account"], PackCloud).client
        return await write_result(client.delete_integration(inputs["integration"], call_context(context)))


class PackCloudUpdateIntegration(PlatformWrite, frozen=True, kw_only=True, tag="pack_cloud_update_integration"):
    """`change` is what of it changes; what is left out stays."""

    repeat: ClassVar[RetrySafety] = "idempotent"
    summary: ClassVar[str] = "Changes an integration on pack.cloud."
    ids: ClassVar[tuple[str, ...]] = ("integration",)
    body: ClassVar[tuple[str, type[Struct]] | None] = ("change", IntegrationChange)

    integration: RecordId
    change: dict[str, Any]

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """See Action. Gives `http_status`, and `id` where the answer states one."""
        client = connector_of(context, inputs["account"], PackCloud).client
        return await write_result(
            client.update_integration(
                inputs["integration"], read_input(inputs, "change", IntegrationChange), call_context(context)
            )
        )


class PackCloudExecuteIntegrationAction(
    PlatformWrite, frozen=True, kw_only=True, tag="pack_cloud_execute_integration_action"
):
    """`action` is the id of the integration's action, `values` are its fields."""

    repeat: ClassVar[RetrySafety] = "unsafe"
    summary: ClassVar[str] = "Executes an action of an integration on pack.cloud."
    ids: ClassVar[tuple[str, ...]] = ("integration", "action")

    integration: RecordId
    action: RecordId
    values: dict[str, Any] = field(default_factory=dict[str, Any])

    def compile(self, compile_template: CompileTemplate) -> TemplateRenderer:
        """See Action. Inputs: those of every write, and `values` rendered."""
        write, values = super().compile(compile_template), compile_template("values", self.values)
        return lambda scope: {**write(scope), "values": values(scope)}

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """See Action. Gives `http_status`, and `id` where the answer states one."""
        client = connector_of(context, inputs["account"], PackCloud).client
        return await write_result(
            client.execute_integration_action(
                inputs["integration"], inputs["action"], inputs["values"], call_context(context)
            )
        )


class PackCloudSyncIntegrationOrders(
    PlatformWrite, frozen=True, kw_only=True, tag="pack_cloud_sync_integration_orders"
):
    """`integration` is a template of the integration's id."""

    repeat: ClassVar[RetrySafety] = "unsafe"
    summary: ClassVar[str] = "Begins to synchronize the orders of an integration on pack.cloud."
    ids: ClassVar[tuple[str, ...]] = ("integration",)

    integration: RecordId

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """See Action. Gives `http_status`, and `id` where the answer states one."""
        client = connector_of(context, inputs["account"], PackCloud).client
        return await write_result(client.sync_integration_orders(inputs["integration"], call_context(context)))


class PackCloudSyncIntegrationProducts(
    PlatformWrite, frozen=True, kw_only=True, tag="pack_cloud_sync_integration_products"
):
    """`integration` is a template of the integration's id."""

    repeat: ClassVar[RetrySafety] = "unsafe"
    summary: ClassVar[str] = "Begins to synchronize the products of an integration on pack.cloud."
    ids: ClassVar[tuple[str, ...]] = ("integration",)

    integration: RecordId

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """See Action. Gives `http_status`, and `id` where the answer states one."""
        client = connector_of(context, inputs["account"], PackCloud).client
        return await write_result(client.sync_integration_products(inputs["integration"], call_context(context)))


class PackCloudSyncIntegrationProductStocks(
    PlatformWrite, frozen=True, kw_only=True, tag="pack_cloud_sync_integration_product_stocks"
):
    """`integration` is a template of the integration's id."""

    repeat: ClassVar[RetrySafety] = "unsafe"
    summary: ClassVar[str] = "Begins to synchronize the product stocks of an integration on pack.cloud."
    ids: ClassVar[tuple[str, ...]] = ("integration",)

    integration: RecordId

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """See Action. Gives `http_status`, and `id` where the answer states one."""
        client = connector_of(context, inputs["account"], PackCloud).client
        return await write_result(client.sync_integration_product_stocks(inputs["integration"], call_context(context)))


class PackCloudSyncIntegrationShippingServices(
    PlatformWrite, frozen=True, kw_only=True, tag="pack_cloud_sync_integration_shipping_services"
):
    """`integration` is a template of the integration's id."""

    repeat: ClassVar[RetrySafety] = "unsafe"
    summary: ClassVar[str] = "Begins to synchronize the shipping services of an integration on pack.cloud."
    ids: ClassVar[tuple[str, ...]] = ("integration",)

    integration: RecordId

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """See Action. Gives `http_status`, and `id` where the answer states one."""
        client = connector_of(context, inputs["account"], PackCloud).client
        return await write_result(
            client.sync_integration_shipping_services(inputs["integration"], call_context(context))
        )
