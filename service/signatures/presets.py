"""Schemes by the name of a well-known sender: each is `hmac` or `standard_webhooks` with its fields filled in.

To add one, write its data here and name it in the union of `service.signatures`. What a preset stands for can be
written out under `verify` just as well, with other values where a sender differs.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from service.secrets import SecretRef
from service.signatures.hmac_header import Hmac
from service.signatures.scheme import Scheme, Secrets, Tolerance, Verifier
from service.signatures.standard_webhooks import StandardWebhooks


class Preset(Scheme, frozen=True, kw_only=True):
    """A scheme with all but its secrets known."""

    like: ClassVar[Hmac | StandardWebhooks]

    secrets: Secrets

    def written_out(self) -> Hmac | StandardWebhooks:
        """Give the scheme it stands for."""
        own: dict[str, Any] = {name: getattr(self, name) for name in self.__struct_fields__}
        return msgspec.structs.replace(self.like, **own)

    def build(self, environ: Mapping[str, str], at: str, /) -> Verifier:
        """See Scheme."""
        return self.written_out().build(environ, at)

    def sign(self, body: bytes, secret: str, event_id: str, timestamp: int, /) -> dict[str, str]:
        """See Scheme."""
        return self.like.sign(body, secret, event_id, timestamp)

    @property
    def refs(self) -> tuple[SecretRef, ...]:
        """See Scheme."""
        return self.secrets

    @property
    def signed_parts(self) -> frozenset[str]:
        """See Scheme."""
        return self.like.signed_parts

    def warnings(self, environ: Mapping[str, str], /) -> tuple[str, ...]:
        """See Scheme."""
        return self.written_out().warnings(environ)


class TimedPreset(Preset, frozen=True, kw_only=True):
    """A preset of a sender that signs the time."""

    tolerance_seconds: Tolerance = 300


class GitHub(Preset, frozen=True, kw_only=True, tag="github"):
    """https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries; its ids are unsigned."""

    like = Hmac(header="X-Hub-Signature-256", prefix="sha256=", secrets=())
    redelivery_hours = 3 * 24.0  # never by itself; a person can, for three days


class Shopify(Preset, frozen=True, kw_only=True, tag="shopify"):
    """https://shopify.dev/docs/apps/build/webhooks/subscribe/https; neither topic nor ids are signed."""

    like = Hmac(header="X-Shopify-Hmac-Sha256", encoding="base64", secrets=())
    redelivery_hours = 2 * 24.0  # eight times in four hours, and a delivery may be a day late


class Slack(TimedPreset, frozen=True, kw_only=True, tag="slack"):
    """https://docs.slack.dev/authentication/verifying-requests-from-slack; each retry is signed anew."""

    like = Hmac(
        header="X-Slack-Signature",
        prefix="v0=",
        signed="v0:{timestamp}:{body}",
        timestamp_header="X-Slack-Request-Timestamp",
        secrets=(),
    )
    redelivery_hours = 24.0  # three times within about five minutes; delayed events where an app asks for them


class Stripe(TimedPreset, frozen=True, kw_only=True, tag="stripe"):
    """https://docs.stripe.com/webhooks?verify=verify-manually; each retry is signed anew."""

    like = Hmac(
        header="Stripe-Signature",
        prefix="v1=",
        signed="{timestamp}.{body}",
        timestamp_header="Stripe-Signature",
        timestamp_prefix="t=",
        secrets=(),
    )
    redelivery_hours = 3 * 24.0 + 24.0  # up to three days, and a day for what was under way


class Svix(TimedPreset, frozen=True, kw_only=True, tag="svix"):
    """https://docs.svix.com/receiving/verifying-payloads/how-manual; Standard Webhooks under older header names."""

    like = StandardWebhooks(header_prefix="svix-", secrets=())
    redelivery_hours = 2 * 24.0  # eight times in about 28 hours
