"""Actions of rules: one module each, named in `ACTIONS`, and the write actions of the platforms."""

from service.actions import Action
from service.platforms.registry import KINDS
from workers.actions.email import Email
from workers.actions.emit import Emit
from workers.actions.http import Http
from workers.actions.log import Log
from workers.actions.platform import PlatformOperation
from workers.actions.platform_write import platform_actions
from workers.actions.publish import Publish
from workers.actions.slack import Slack
from workers.actions.teams import Teams
from workers.actions.webhook import Webhook

ACTIONS: tuple[type[Action], ...] = (
    Log, Http, Slack, Teams, Email, Webhook, Emit, Publish, PlatformOperation, *platform_actions(KINDS),
)  # fmt: skip
