"""Registry of platforms: the one list of kinds, and the connectors built from waybill.yaml."""

from collections.abc import Mapping
from typing import Any, Union

from service.config.platforms import PlatformConfig
from service.http_client import HttpClient
from service.platforms.base import Platform
from service.platforms.custom import CUSTOM
from service.platforms.flow_retail import FLOW_RETAIL
from service.platforms.kind import ConnectorDependencies, PlatformKind
from service.platforms.open_food_network import OPEN_FOOD_NETWORK
from service.platforms.pack_cloud import PACK_CLOUD
from service.platforms.pexip_engage import PEXIP_ENGAGE
from service.platforms.reads import ReadOperation, client_reads
from service.platforms.writes import WriteOperation, client_writes
from service.records import RECORDS, RecordTypes
from service.throttles.throttles import SharedThrottles

KINDS = (PACK_CLOUD, PEXIP_ENGAGE, OPEN_FOOD_NETWORK, FLOW_RETAIL, CUSTOM)
"""Every kind of platform. A new platform is added here."""

PLATFORMS: Mapping[str, PlatformKind] = {kind.name: kind for kind in KINDS}
CONFIG_TYPE: Any = Union[tuple(kind.config for kind in KINDS)]  # noqa: UP007 - built from a list
"""The type of an account in waybill.yaml: the union of the platforms' structs."""
READS: Mapping[str, Mapping[str, ReadOperation]] = {kind.name: client_reads(kind.client) for kind in KINDS}
WRITES: Mapping[str, Mapping[str, WriteOperation]] = {kind.name: client_writes(kind.client) for kind in KINDS}


def kind_of(config: PlatformConfig) -> PlatformKind:
    """Return the kind of platform of an account.

    Args:
        config: The configuration of the account.

    Returns:
        The kind.
    """
    return PLATFORMS[str(config.__struct_config__.tag)]


def writes_of(config: PlatformConfig) -> Mapping[str, WriteOperation]:
    """Return the writes of an account: those of its kind, and those that its configuration declares.

    Args:
        config: The configuration of the account.

    Returns:
        The writes by the names of their operations.
    """
    kind = kind_of(config)
    return {**WRITES[kind.name], **kind.configured_writes(config)}


def build_platforms(
    configs: Mapping[str, PlatformConfig],
    environ: Mapping[str, str],
    http_client: HttpClient,
    shared: SharedThrottles | None = None,
    records: RecordTypes = RECORDS,
) -> dict[str, Platform]:
    """Build the connector of every configured account.

    Args:
        configs: The configurations by account.
        environ: The environment variables that hold secrets.
        http_client: The HTTP client of all calls.
        shared: The state shared by all pods; None for calls without limits and without shared tokens.
        records: The types of records.

    Returns:
        The connectors by account.

    Raises:
        ConfigError: A secret is not set, a path cannot be overridden, or a record has no such field.
    """
    plain = ConnectorDependencies(http_client, environ, records=records)
    connectors: dict[str, Platform] = {}
    for account, config in configs.items():
        dependencies = plain
        if shared is not None:
            throttle = shared.account(account, config)
            dependencies = ConnectorDependencies(http_client, environ, throttle, shared.token_cache, records)
        connectors[account] = kind_of(config).connector(account, config, dependencies)
    return connectors
