"""Presets: signature schemes of well-known senders. Each is `hmac` or `standard_webhooks` with all fields set.

To add one, define it here and add it to the union of `service.signatures`. For a sender that differs, configure
`hmac` or `standard_webhooks` with the fields of the preset.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from service.secrets import SecretRef
from service.signatures.hmac_signature import Hmac
from service.signatures.scheme import Scheme, Secrets, Tolerance, Verifier
from service.signatures.standard_webhooks import StandardWebhooks


class Preset(Scheme, frozen=True, kw_only=True):
    """Scheme with all fields set, except the secrets."""

    base: ClassVar[Hmac | StandardWebhooks]

    secrets: Secrets

    def expand(self) -> Hmac | StandardWebhooks:
        """Return the scheme with the fields of the preset."""
        own: dict[str, Any] = {name: getattr(self, name) for name in self.__struct_fields__}
        return msgspec.structs.replace(self.base, **own)

    def build(self, environ: Mapping[str, str], at: str, /) -> Verifier:
        """Return the verifier of the expanded scheme."""
        return self.expand().build(environ, at)

    def sign(self, body: bytes, secret: str, event_id: str, timestamp: int, /) -> dict[str, str]:
        """Return the headers of the expanded scheme."""
        return self.base.sign(body, secret, event_id, timestamp)

    @property
    def refs(self) -> tuple[SecretRef, ...]:
        """References of the secrets."""
        return self.secrets

    @property
    def signed_parts(self) -> frozenset[str]:
        """Signed parts of the expanded scheme."""
        return self.base.signed_parts

    def warnings(self, environ: Mapping[str, str], /) -> tuple[str, ...]:
        """Return the warnings of the expanded scheme."""
        return self.expand().warnings(environ)


class TimedPreset(Preset, frozen=True, kw_only=True):
    """Preset of a sender that signs a timestamp."""

    tolerance_seconds: Tolerance = 300


class GitHub(Preset, frozen=True, kw_only=True, tag="github"):
    """GitHub; ids are not signed. https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries."""

    base = Hmac(header="X-Hub-Signature-256", prefix="sha256=", secrets=())
    redelivery_hours = 3 * 24.0  # no automatic retries; manual redelivery for three days


class Shopify(Preset, frozen=True, kw_only=True, tag="shopify"):
    """Shopify; topic and ids are not signed. https://shopify.dev/docs/apps/build/webhooks/subscribe/https."""

    base = Hmac(header="X-Shopify-Hmac-Sha256", encoding="base64", secrets=())
    redelivery_hours = 2 * 24.0  # 8 retries in four hours, and a delivery can be a day late


class Slack(TimedPreset, frozen=True, kw_only=True, tag="slack"):
    """Slack; each retry has a new signature. https://docs.slack.dev/authentication/verifying-requests-from-slack."""

    base = Hmac(
        header="X-Slack-Signature",
        prefix="v0=",
        signed="v0:{timestamp}:{body}",
        timestamp_header="X-Slack-Request-Timestamp",
        secrets=(),
    )
    redelivery_hours = 24.0  # 3 retries in about five minutes; apps can opt in to delayed events


class Stripe(TimedPreset, frozen=True, kw_only=True, tag="stripe"):
    """Stripe; each retry has a new signature. https://docs.stripe.com/webhooks?verify=verify-manually."""

    base = Hmac(
        header="Stripe-Signature",
        prefix="v1=",
        signed="{timestamp}.{body}",
        timestamp_header="Stripe-Signature",
        timestamp_prefix="t=",
        secrets=(),
    )
    redelivery_hours = 3 * 24.0 + 24.0  # retries for up to three days, and a day of reserve


class Svix(TimedPreset, frozen=True, kw_only=True, tag="svix"):
    """Svix: Standard Webhooks with other headers. https://docs.svix.com/receiving/verifying-payloads/how-manual."""

    base = StandardWebhooks(header_prefix="svix-", secrets=())
    redelivery_hours = 2 * 24.0  # 8 attempts in about 28 hours
