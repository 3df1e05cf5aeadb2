"""`do: pack_cloud_execute_integration_action`: executes an action of an integration on pack.cloud.

What the action does over there is not documented, nor whether it may be done twice: unsafe.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec import field

from service.actions import ActionContext, CompileTemplate, RetrySafety, TemplateRenderer
from service.platforms.pack_cloud import PackCloud
from workers.platform_writes import PlatformWrite, RecordId, call_context, connector_of, write_result


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
