"""Accounts of platforms: the sample of each platform, decoded as in waybill.yaml."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from service.config import PlatformConfig
from service.platforms.registry import CONFIG_TYPE
from service.sandbox.server import SandboxHandle

SAMPLES = Path(__file__).parent / "samples"


def sample_account(kind: str, base_url: str) -> dict[str, Any]:
    """Load `account.yaml` of a platform; it needs the environment variables TOKEN and CLIENT."""
    text = (SAMPLES / kind / "account.yaml").read_text().replace("{base_url}", base_url)
    return {"kind": kind, **yaml.safe_load(text)}


def sandbox_url(kind: str, box: SandboxHandle) -> str:
    """Return the base URL of a platform in the sandbox; no mock answers for a custom platform."""
    return f"{box.url}/erp" if kind == "custom" else box.base_url(kind)


def platform_configs(raw: Mapping[str, Any]) -> dict[str, PlatformConfig]:
    """Decode the section `platforms` of waybill.yaml."""
    return {account: msgspec.convert(config, CONFIG_TYPE) for account, config in raw.items()}


def pexip_token_url(box: SandboxHandle) -> str:
    """Return the token endpoint of the enterprise `acme` in the sandbox."""
    return f"{box.base_url('pexip_engage')}/realms/acme/protocol/openid-connect/token"
