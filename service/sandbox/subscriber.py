"""Subscriber of the sandbox: accepts requests with a valid signature of Standard Webhooks."""

import time
from http import HTTPStatus

from service.errors import Rejection
from service.events import Delivery
from service.mock.http import Reply, Request, json_reply
from service.secrets import SecretRef
from service.signatures.standard_webhooks import StandardWebhooks

SECRET = "whsec_c2FuZGJveC1zZWNyZXQtb2YtdGhlLXN1YnNjcmliZXI="  # noqa: S105 - valid in the sandbox alone
_VERIFIER = StandardWebhooks(secrets=(SecretRef(env="S"),)).build({"S": SECRET}, "sandbox")


def check_signature(request: Request) -> Reply:
    """Answer 204; 401 with the reason if the signature by `SECRET` is not valid."""
    try:
        _VERIFIER.verify(Delivery("sandbox", dict(request.headers), request.body, time.time()))
    except Rejection as rejection:
        return json_reply(HTTPStatus.UNAUTHORIZED, {"message": rejection.detail})
    return Reply(HTTPStatus.NO_CONTENT)
