"""The configuration file waybill.yaml as checked structs. Settings of a process are in `service.settings`."""

from service.config.admin import AdminConfig, AdminToken, Role, read_digest
from service.config.loading import Config, load_config, read_config
from service.config.platforms import (
    BasicAuth,
    BearerAuth,
    ClientCredentialsAuth,
    CustomConfig,
    HeaderAuth,
    NoAuth,
    PexipEngageConfig,
    PlatformConfig,
    known_kinds,
)
from service.config.sources import SourceConfig
from service.config.strict_yaml import parse_yaml, read_yaml
from service.secrets import SecretRef

__all__ = [
    "AdminConfig",
    "AdminToken",
    "BasicAuth",
    "BearerAuth",
    "ClientCredentialsAuth",
    "Config",
    "CustomConfig",
    "HeaderAuth",
    "NoAuth",
    "PexipEngageConfig",
    "PlatformConfig",
    "Role",
    "SecretRef",
    "SourceConfig",
    "known_kinds",
    "load_config",
    "parse_yaml",
    "read_config",
    "read_digest",
    "read_yaml",
]
