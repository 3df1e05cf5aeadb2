"""Open Food Network: customers of one instance."""

from service.platforms.kind import PlatformKind
from service.platforms.open_food_network.client import CUSTOMER, OpenFoodNetworkClient
from service.platforms.open_food_network.config import OpenFoodNetworkConfig
from service.platforms.open_food_network.connector import OpenFoodNetwork

OPEN_FOOD_NETWORK = PlatformKind(
    OpenFoodNetworkConfig,
    OpenFoodNetwork,
    OpenFoodNetworkClient,
    readers={"customer": lambda reply, _: CUSTOMER.read(reply)},
    sample_event="payment.completed",
    sample_delivery=OpenFoodNetwork.sample_delivery,
)
