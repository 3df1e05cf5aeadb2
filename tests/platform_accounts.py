"""Accounts of platforms, decoded as in waybill.yaml."""

from collections.abc import Mapping
from typing import Any

import msgspec

from service.config import PlatformConfig
from service.platforms.registry import CONFIG_TYPE
from service.sandbox.server import SandboxHandle


def platform_configs(raw: Mapping[str, Any]) -> dict[str, PlatformConfig]:
    """Decode the section `platforms` of waybill.yaml."""
    return {account: msgspec.convert(config, CONFIG_TYPE) for account, config in raw.items()}


def pexip_token_url(box: SandboxHandle) -> str:
    """Return the token endpoint of the enterprise `acme` in the sandbox."""
    return f"{box.base_url('pexip_engage')}/realms/acme/protocol/openid-connect/token"
