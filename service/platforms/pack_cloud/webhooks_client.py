"""Client of pack.cloud's webhook subscriptions: each sends one event code to one endpoint, signed with its secret.

No page prints a path to delete one: disable it. Errors are those of `client`.
"""

from msgspec import UNSET, Struct, UnsetType

from service.platforms.pack_cloud.operation_table import TABLE


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


class WebhooksClient:
    """Webhook operations of one organization."""

    list_webhooks = TABLE.list("webhook.list", "/webhooks", "Get list of webhooks")
    create_webhook = TABLE.write("webhook.create", "POST /webhooks", "Create webhook", body=("new", NewWebhook))
    get_webhook = TABLE.get("webhook.get", "/webhooks/{webhook}", "Get webhook by id")
    update_webhook = TABLE.write(
        "webhook.update", "PUT /webhooks/{webhook}", "Update webhook", body=("change", WebhookChange)
    )
