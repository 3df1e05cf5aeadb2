"""Chats of the sandbox: they check messages as Slack and Teams do, and keep valid ones in the sink."""

from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from service.mock.http import Reply, Request

TEXT = b"text/plain; charset=utf-8"


class SlackMessage(Struct, omit_defaults=True):
    """Message of an incoming webhook."""

    text: str = ""
    blocks: Annotated[list[dict[str, Any]], Meta(max_length=50)] = []


class _Card(Struct, tag_field="type", tag="AdaptiveCard"):
    version: str
    body: list[dict[str, Any]] = []


class _Attachment(Struct, rename="camel"):
    content_type: Literal["application/vnd.microsoft.card.adaptive"]
    content: _Card


class TeamsMessage(Struct, tag_field="type", tag="message"):
    """Message of a workflow: exactly one card."""

    attachments: Annotated[list[_Attachment], Meta(min_length=1, max_length=1)]


def check_slack(request: Request) -> Reply:
    """Answer as Slack: `ok`, or 400 with a code as text."""
    try:
        message = msgspec.json.decode(request.body, type=SlackMessage)
    except msgspec.MsgspecError:
        return Reply(HTTPStatus.BAD_REQUEST, b"invalid_payload", content_type=TEXT)
    if not message.text and not message.blocks:
        return Reply(HTTPStatus.BAD_REQUEST, b"no_text", content_type=TEXT)
    return Reply(HTTPStatus.OK, b"ok", content_type=TEXT)


def check_teams(request: Request) -> Reply:
    """Answer as a workflow: 202 without a body, or 400 with a problem."""
    try:
        msgspec.json.decode(request.body, type=TeamsMessage)
    except msgspec.MsgspecError as error:
        problem = {"error": {"code": "InvalidRequestContent", "message": str(error)}}
        return Reply(HTTPStatus.BAD_REQUEST, msgspec.json.encode(problem))
    return Reply(HTTPStatus.ACCEPTED)
