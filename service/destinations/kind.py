"""Kinds of destination: the parts that the folder of a kind offers to the registry."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from service.config.destinations import DestinationConfig
from service.destinations.destination import Destination
from service.http_client import HttpClient
from service.platforms.api.token_cache import NO_TOKEN_CACHE, TokenCache
from service.throttles.throttle import NO_THROTTLE, Throttle


class DestinationDependencies(Struct, frozen=True, kw_only=True):
    """Resources of one destination. `clock` returns seconds since the epoch."""

    http_client: HttpClient
    environ: Mapping[str, str]
    throttle: Throttle = NO_THROTTLE
    token_cache: TokenCache = NO_TOKEN_CACHE
    clock: Callable[[], float] = time.time


class DestinationKind(Struct, frozen=True):
    """One kind of destination.

    Attributes:
        config: The struct of a destination in waybill.yaml; its tag is the name of the kind.
        destination: Class or function that builds a destination from name, configuration and dependencies.
    """

    config: type[DestinationConfig]
    destination: Callable[[str, Any, DestinationDependencies], Destination]

    @property
    def name(self) -> str:
        """The name of the kind: the value of `kind` in waybill.yaml, and of `do` in a rule."""
        return str(self.config.__struct_config__.tag)
