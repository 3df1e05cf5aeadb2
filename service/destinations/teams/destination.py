"""Teams destination: a workflow "Send webhook alerts to a channel", which posts Adaptive Cards."""

from collections.abc import Mapping
from typing import Any, ClassVar

from service.config.destinations import LimitsConfig
from service.destinations.http.config import TargetConfig
from service.destinations.messages import MessageDestination
from service.destinations.teams.card import build_card, wrap_card


class TeamsConfig(TargetConfig, frozen=True, kw_only=True, tag="teams"):
    """Teams destination. `url` is the address of a workflow that is triggered by a webhook, which is a secret.

    Teams admits a few messages a second for one channel, so `limits` is `{per_second: 1}` by default.
    """

    limits: LimitsConfig = LimitsConfig(per_second=1.0)


class TeamsDestination(MessageDestination):
    """One channel or chat of Teams."""

    message_bytes_max: ClassVar[int] = 28_672
    test_message: ClassVar[Mapping[str, Any]] = wrap_card(build_card(None, "Test message of Waybill.", {}))
