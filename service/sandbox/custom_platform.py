"""Custom platform of the sandbox: takes any write with the token and, if it has a body, valid JSON."""

from http import HTTPStatus

import msgspec

from service.mock.http import Reply, Request, json_reply
from service.mock.platform import TOKEN, bearer_token


def check_custom_platform(request: Request) -> Reply:
    """Answer with the last part of the path as id; 401 without the token, 400 for a body that is not JSON."""
    if bearer_token(request) != TOKEN:
        return json_reply(HTTPStatus.UNAUTHORIZED, {"message": "The token is missing or wrong."})
    if request.body:
        msgspec.json.decode(request.body)
    return json_reply(HTTPStatus.OK, {"id": request.segments[-1]})
