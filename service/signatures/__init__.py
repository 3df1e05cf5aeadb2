"""How a delivery proves its source. One file per scheme; to add one, write its file and name it in the union below."""

from service.signatures.basic import Basic
from service.signatures.hmac_header import Hmac
from service.signatures.scheme import Scheme, Verified, Verifier
from service.signatures.standard_webhooks import StandardWebhooks
from service.signatures.unverified import Unverified

SchemeConfig = Hmac | StandardWebhooks | Basic | Unverified
"""What may stand under `verify`, told apart by `scheme`."""

__all__ = ["Basic", "Hmac", "Scheme", "SchemeConfig", "StandardWebhooks", "Unverified", "Verified", "Verifier"]
