"""Configuration of an account on Open Food Network."""

from collections.abc import Mapping
from typing import ClassVar

from service.config.platforms import BaseUrl, DocumentedValues, FieldPlaces
from service.platforms.built_in_config import ExtensibleConfig
from service.platforms.open_food_network.client import COMBINED, PLACES
from service.secrets import SecretRef


class OpenFoodNetworkConfig(ExtensibleConfig, frozen=True, kw_only=True, tag="open_food_network"):
    """Instance of Open Food Network. A webhook is tried 25 times over about 20 days (Sidekiq's default)."""

    kinds: ClassVar[frozenset[str]] = frozenset({"customer", "order"})
    hints: ClassVar[frozenset[str]] = frozenset({"order"})
    listed: ClassVar[frozenset[str]] = frozenset({"customer"})
    redelivery_hours: ClassVar[float | None] = 21 * 24.0
    places: ClassVar[Mapping[str, FieldPlaces]] = PLACES
    combined: ClassVar[Mapping[str, Mapping[str, str]]] = COMBINED
    enums: ClassVar[Mapping[str, DocumentedValues]] = {"customer": {}}
    retries_on_429: ClassVar[bool] = True

    base_url: BaseUrl
    token: SecretRef
