"""Client of pack.cloud's webhook subscriptions: each sends one event code to one endpoint, signed with its secret.

No page prints a path to delete one: disable it. Errors are those of `client`.
"""

from msgspec import UNSET, Struct, UnsetType

from service.platforms.api.coercion import JsonObject
from service.platforms.api.declared_operations import operation
from service.platforms.api.operations import NO_CONTEXT, ResultPage, WriteResult
from service.platforms.base import CallContext
from service.platforms.pack_cloud.rules_client import RulesClient

_WEBHOOKS = "/organizations/{organization}/webhooks"


class NewWebhook(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Fields of a new subscription. `event_code` is `order.created`, `order.canceled` or `order.shipped`."""

    event_code: str
    endpoint: str
    secret: str
    enabled: bool | UnsetType = UNSET


class WebhookChange(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Changed fields of a subscription."""

    event_code: str | UnsetType = UNSET
    endpoint: str | UnsetType = UNSET
    secret: str | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class WebhooksClient(RulesClient):
    """Webhook operations of one organization."""

    @operation("webhook.list", "GET", _WEBHOOKS, "Get list of webhooks")
    async def list_webhooks(self, page: str | None = None, context: CallContext = NO_CONTEXT) -> ResultPage:
        """GET …/webhooks: id, endpoint, secret, enabled. Page "Get list of webhooks"."""
        return await self._list("webhook.list", {}, page, context)

    @operation("webhook.create", "POST", _WEBHOOKS, "Create webhook")
    async def create_webhook(self, new: NewWebhook, context: CallContext = NO_CONTEXT) -> WriteResult:
        """POST …/webhooks. Page "Create webhook"; made twice, there are two."""
        return await self._endpoints.write("webhook.create", context, body=new)

    @operation("webhook.get", "GET", _WEBHOOKS + "/{webhook}", "Get webhook by id")
    async def get_webhook(self, webhook: str, context: CallContext = NO_CONTEXT) -> JsonObject | None:
        """GET …/webhooks/{webhook}. Page "Get webhook by id"."""
        return await self._get("webhook.get", {"webhook": webhook}, context)

    @operation("webhook.update", "PUT", _WEBHOOKS + "/{webhook}", "Update webhook")
    async def update_webhook(
        self, webhook: str, change: WebhookChange, context: CallContext = NO_CONTEXT
    ) -> WriteResult:
        """PUT …/webhooks/{webhook}. Page "Update webhook"; made twice, the same."""
        return await self._endpoints.write("webhook.update", context, ids={"webhook": webhook}, body=change)
