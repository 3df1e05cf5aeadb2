"""What the operator wrote in waybill.yaml, as checked values. For the settings of a process see `service.settings`."""

from service.config.admin import Admin, AdminToken, Role, read_digest
from service.config.loading import Config, Outbound, Reading, load_config, read_config
from service.config.platforms import (
    Auth,
    BasicAuth,
    BearerAuth,
    ClientCredentialsAuth,
    CustomConfig,
    CustomRecord,
    FlowRetailConfig,
    HeaderAuth,
    NoAuth,
    OpenFoodNetworkConfig,
    PackCloudConfig,
    PexipEngageConfig,
    PlatformConfig,
    known_kinds,
)
from service.config.sources import SourceConfig
from service.config.strict_yaml import parse_yaml, read_yaml
from service.secrets import SecretRef

__all__ = [
    "Admin",
    "AdminToken",
    "Auth",
    "BasicAuth",
    "BearerAuth",
    "ClientCredentialsAuth",
    "Config",
    "CustomConfig",
    "CustomRecord",
    "FlowRetailConfig",
    "HeaderAuth",
    "NoAuth",
    "OpenFoodNetworkConfig",
    "Outbound",
    "PackCloudConfig",
    "PexipEngageConfig",
    "PlatformConfig",
    "Reading",
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
