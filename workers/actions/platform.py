"""`do: platform`: call an operation that waybill.yaml declares for a custom account.

Method, path, template of the body and retry safety are those of the operation. The rule gives the values.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from msgspec import Meta, field

from service.actions import (
    JSON_STYLES,
    Action,
    ActionContext,
    CompileTemplate,
    JsonNumbers,
    RetrySafety,
    TemplateRenderer,
)
from service.config.operations import OPERATION_NAME
from service.destinations.http.request import format_key
from service.platforms.base import CallContext
from service.platforms.custom.connector import Custom
from workers.actions.platform_write import AccountName, connector_of, write_result


class PlatformOperation(Action, frozen=True, kw_only=True, tag="platform"):
    """`operation` is declared under `operations` of the account. `values` are templates of its parameters.

    Without `account`, the account is the one of this event's record. The retry safety is that of the operation.
    """

    repeat: ClassVar[RetrySafety] = "unsafe"
    requires_admin: ClassVar[bool] = True
    summary: ClassVar[str] = "Calls an operation of a custom platform account."

    account: AccountName | None = None
    operation: Annotated[str, Meta(pattern=OPERATION_NAME, description="words separated by dots, such as order.hold")]
    values: dict[str, Any] = field(default_factory=dict[str, Any])
    json: JsonNumbers = "number"

    def compile(self, compile_template: CompileTemplate) -> TemplateRenderer:
        """Compile the templates of the account and the values.

        Returns:
            A renderer of `account`, `operation` and `values`.
        """
        account = compile_template("account", self.account or "{event.record.platform}")
        values = compile_template("values", self.values, JSON_STYLES[self.json])
        return lambda scope: {"account": account(scope), "operation": self.operation, "values": values(scope)}

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """Call the operation.

        Returns:
            As `write_result`.

        Raises:
            TransientError: The account or the operation is unknown here; or as `CustomClient.write`.
            PermanentError: The account is on another platform; or as `CustomClient.write`.
        """
        client = connector_of(context, inputs["account"], Custom).client
        call = CallContext(
            context.event_id,
            context.traceparent,
            exchange=context.exchange,
            idempotency_key=format_key(context.idempotency_key, "uuid"),
        )
        return await write_result(client.write(inputs["operation"], inputs["values"], call))
