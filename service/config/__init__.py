"""The configuration file waybill.yaml as checked structs. Settings of a process are in `service.settings`."""

from service.config.admin import AdminConfig, AdminToken, Role, read_digest
from service.config.loading import Config
from service.config.platforms import PlatformConfig
from service.config.sources import SourceConfig
from service.config.strict_yaml import parse_yaml, read_yaml
from service.secrets import SecretRef

__all__ = [
    "AdminConfig",
    "AdminToken",
    "Config",
    "PlatformConfig",
    "Role",
    "SecretRef",
    "SourceConfig",
    "parse_yaml",
    "read_digest",
    "read_yaml",
]
