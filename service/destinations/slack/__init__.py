"""Kind `slack`: messages to one channel by an incoming webhook of Slack."""

from service.destinations.kind import DestinationKind
from service.destinations.slack.destination import SlackConfig, SlackDestination

SLACK = DestinationKind(SlackConfig, SlackDestination)
