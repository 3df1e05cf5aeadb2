"""Kind `webhook`: signed events to own subscribers (Standard Webhooks)."""

from service.destinations.kind import DestinationKind
from service.destinations.webhook.destination import WebhookConfig, WebhookDestination

WEBHOOK = DestinationKind(WebhookConfig, WebhookDestination)
