"""Signature schemes: verification of deliveries. One module per scheme. Add a new scheme to the union below."""

from service.signatures.basic import Basic
from service.signatures.bearer import Bearer
from service.signatures.header import Header
from service.signatures.hmac_signature import Hmac
from service.signatures.http_message_signatures import HttpMessageSignatures
from service.signatures.path_token import PathToken
from service.signatures.public_key import PublicKeySignature
from service.signatures.scheme import Scheme, Verified, Verifier
from service.signatures.standard_webhooks import StandardWebhooks
from service.signatures.unverified import Unverified

SchemeConfig = (
    StandardWebhooks
    | Hmac
    | PublicKeySignature
    | HttpMessageSignatures
    | Basic
    | Bearer
    | Header
    | PathToken
    | Unverified
)
"""Values of `verify` in waybill.yaml. `scheme` selects the type."""

__all__ = [
    "Basic",
    "Bearer",
    "Header",
    "Hmac",
    "HttpMessageSignatures",
    "PathToken",
    "PublicKeySignature",
    "Scheme",
    "SchemeConfig",
    "StandardWebhooks",
    "Unverified",
    "Verified",
    "Verifier",
]
