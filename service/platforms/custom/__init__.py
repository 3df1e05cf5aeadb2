"""Custom platforms: any other system that answers JSON over HTTP, by configuration alone."""

from service.platforms.custom.client import CustomClient, configured_writes
from service.platforms.custom.config import CustomConfig
from service.platforms.custom.connector import Custom
from service.platforms.kind import PlatformKind

CUSTOM = PlatformKind(CustomConfig, Custom, CustomClient, configured_writes=configured_writes)
