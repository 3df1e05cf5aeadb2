"""The actions, one a file. To add one, write its file and name it here; the tests of this list tell what is missing."""

from service.actions import Action
from workers.actions.emit import Emit
from workers.actions.flow_retail_add_extension import FlowRetailAddExtension
from workers.actions.flow_retail_create_customer import FlowRetailCreateCustomer
from workers.actions.flow_retail_delete_customer import FlowRetailDeleteCustomer
from workers.actions.flow_retail_delete_extension import FlowRetailDeleteExtension
from workers.actions.flow_retail_update_customer import FlowRetailUpdateCustomer
from workers.actions.http import Http
from workers.actions.log import Log
from workers.actions.open_food_network_create_customer import OpenFoodNetworkCreateCustomer
from workers.actions.open_food_network_delete_customer import OpenFoodNetworkDeleteCustomer
from workers.actions.open_food_network_update_customer import OpenFoodNetworkUpdateCustomer
from workers.actions.pack_cloud_create_integration import PackCloudCreateIntegration
from workers.actions.pack_cloud_delete_integration import PackCloudDeleteIntegration
from workers.actions.pack_cloud_execute_integration_action import PackCloudExecuteIntegrationAction
from workers.actions.pack_cloud_sync_integration_orders import PackCloudSyncIntegrationOrders
from workers.actions.pack_cloud_sync_integration_product_stocks import PackCloudSyncIntegrationProductStocks
from workers.actions.pack_cloud_sync_integration_products import PackCloudSyncIntegrationProducts
from workers.actions.pack_cloud_sync_integration_shipping_services import PackCloudSyncIntegrationShippingServices
from workers.actions.pack_cloud_update_integration import PackCloudUpdateIntegration
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
