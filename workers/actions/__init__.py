"""Actions of rules. To add one, write its module and name it in `ACTIONS`."""

from service.actions import Action
from workers.actions.emit import Emit
from workers.actions.flow_retail import (
    FlowRetailAddExtension,
    FlowRetailCreateCustomer,
    FlowRetailDeleteCustomer,
    FlowRetailDeleteExtension,
    FlowRetailUpdateCustomer,
)
from workers.actions.http import Http
from workers.actions.log import Log
from workers.actions.open_food_network import (
    OpenFoodNetworkCreateCustomer,
    OpenFoodNetworkDeleteCustomer,
    OpenFoodNetworkUpdateCustomer,
)
from workers.actions.pack_cloud import (
    PackCloudCreateIntegration,
    PackCloudDeleteIntegration,
    PackCloudExecuteIntegrationAction,
    PackCloudSyncIntegrationOrders,
    PackCloudSyncIntegrationProducts,
    PackCloudSyncIntegrationProductStocks,
    PackCloudSyncIntegrationShippingServices,
    PackCloudUpdateIntegration,
)
from workers.actions.publish import Publish

ACTIONS: tuple[type[Action], ...] = (
    Log,
    Http,
    Emit,
    Publish,
    PackCloudExecuteIntegrationAction,
    PackCloudSyncIntegrationOrders,
    PackCloudSyncIntegrationProducts,
    PackCloudSyncIntegrationShippingServices,
    PackCloudSyncIntegrationProductStocks,
    PackCloudCreateIntegration,
    PackCloudUpdateIntegration,
    PackCloudDeleteIntegration,
    OpenFoodNetworkCreateCustomer,
    OpenFoodNetworkUpdateCustomer,
    OpenFoodNetworkDeleteCustomer,
    FlowRetailCreateCustomer,
    FlowRetailUpdateCustomer,
    FlowRetailDeleteCustomer,
    FlowRetailAddExtension,
    FlowRetailDeleteExtension,
)
