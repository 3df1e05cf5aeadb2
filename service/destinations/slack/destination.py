"""Slack destination: an incoming webhook, which belongs to one channel. Slack admits one message a second."""

from collections.abc import Mapping
from typing import Any, ClassVar

from service.config.destinations import LimitsConfig
from service.destinations.http.config import TargetConfig
from service.destinations.messages import MessageDestination

BURST = 3


class SlackConfig(TargetConfig, frozen=True, kw_only=True, tag="slack"):
    """Slack destination. `url` is the incoming webhook of a channel, which is a secret.

    Slack admits one message a second and short bursts, so `limits` is `{per_second: 1, burst: 3}` by default.
    """

    limits: LimitsConfig = LimitsConfig(per_second=1.0, burst=BURST)


class SlackDestination(MessageDestination):
    """One channel of Slack."""

    message_bytes_max: ClassVar[int] = 131_072  # 40,000 characters of text, and the blocks
    test_message: ClassVar[Mapping[str, Any]] = {"text": "Test message of Waybill."}
