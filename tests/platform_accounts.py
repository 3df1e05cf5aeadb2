"""Accounts of platforms, decoded as in waybill.yaml."""

from collections.abc import Mapping
from typing import Any

import msgspec

from service.config import PlatformConfig
from service.platforms.registry import CONFIG_TYPE


def platform_configs(raw: Mapping[str, Any]) -> dict[str, PlatformConfig]:
    """Decode the section `platforms` of waybill.yaml."""
    return {account: msgspec.convert(config, CONFIG_TYPE) for account, config in raw.items()}
