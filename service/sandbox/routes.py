"""The paths of each platform: to one record, to a list of them, and to what is only to be begun.

Paths nobody documents are those that our connectors ask for where nothing else is configured.
"""

from msgspec import Struct

ANY = "*"
ID = "{id}"

PathSegments = tuple[str, ...]


class Route(Struct, frozen=True):
    """A path to a kind of record; `wrapped` puts it under `data`, `writes` lists what else than GET it takes."""

    platform: str
    kind: str
    steps: PathSegments
    wrapped: bool = False
    writes: tuple[str, ...] = ()

    def match(self, segments: PathSegments) -> str | None:
        """Give the id if the path is this one."""
        return segments[self.steps.index(ID)] if path_matches(segments, self.steps) else None


class ListRoute(Struct, frozen=True):
    """A path to a list, to which POST adds if `creates`; `asks` is one that is asked by POST."""

    platform: str
    kind: str
    steps: PathSegments
    creates: bool = False
    asks: bool = False


def path_matches(segments: PathSegments, steps: PathSegments) -> bool:
    """Whether a path is one of these."""
    return len(segments) == len(steps) and all(
        step in {segment, ANY, ID} for segment, step in zip(segments, steps, strict=True)
    )


def _steps(platform: str, path: str) -> PathSegments:
    return (platform, *path.split("/"))


def _route(platform: str, kind: str, path: str, *writes: str, wrapped: bool = False) -> Route:
    return Route(platform, kind, _steps(platform, path), wrapped, writes)


def _list(platform: str, kind: str, path: str, *, creates: bool = False, asks: bool = False) -> ListRoute:
    return ListRoute(platform, kind, _steps(platform, path), creates, asks)


_PACK, _FLOW = "v1/organizations/*", "v2/tenants/*"
_INTEGRATION, _RULE = f"{_PACK}/integrations", f"{_PACK}/rules"

ROUTES = (
    _route("pack_cloud", "purchase_order", f"{_PACK}/purchase-orders/{{id}}"),
    _route("pack_cloud", "customer", f"{_PACK}/customers/{{id}}"),
    _route("pack_cloud", "order", f"{_PACK}/orders/{{id}}"),
    _route("pack_cloud", "integration", f"{_INTEGRATION}/{{id}}", "PUT", "DELETE"),
    _route("pack_cloud", "integration_settings", f"{_INTEGRATION}/{{id}}/settings"),
    _route("pack_cloud", "rule_type", f"{_PACK}/rule-types/{{id}}"),
    _route("pack_cloud", "rule", f"{_RULE}/{{id}}", "PUT", "DELETE"),
    _route("pack_cloud", "rule_action", f"{_RULE}/*/actions/{{id}}", "PUT", "DELETE"),
    _route("pack_cloud", "rule_condition", f"{_RULE}/*/conditions/{{id}}", "PUT", "DELETE"),
    _route("pexip_engage", "customer", "enterprises/*/customers/{id}", wrapped=True),
    _route("pexip_engage", "appointment", "enterprises/*/appointments/{id}", wrapped=True),
    _route("pexip_engage", "callback_request", "enterprises/*/callback-requests/{id}", wrapped=True),
    _route("open_food_network", "customer", "api/v1/customers/{id}", "PUT", "DELETE", wrapped=True),
    _route("open_food_network", "order", "api/v0/orders/{id}"),
    _route("flow_retail", "customer", f"{_FLOW}/customers/{{id}}", "PUT", "PATCH", "DELETE"),
    _route("flow_retail", "customer", f"{_FLOW}/stores/*/customers/{{id}}"),
    _route("flow_retail", "purchase_order", f"{_FLOW}/stores/*/purchase-orders/{{id}}"),
    _route("flow_retail", "tenant", "v2/tenants/{id}"),
)

LISTS = (
    _list("pack_cloud", "purchase_order", f"{_PACK}/purchase-orders"),
    _list("pack_cloud", "integration", _INTEGRATION, creates=True),
    _list("pack_cloud", "integration_action", f"{_INTEGRATION}/*/actions"),
    _list("pack_cloud", "rule_type", f"{_PACK}/rule-types"),
    _list("pack_cloud", "rule", _RULE, creates=True),
    _list("pack_cloud", "rule_action", f"{_RULE}/*/actions", creates=True),
    _list("pack_cloud", "rule_condition", f"{_RULE}/*/conditions", creates=True),
    _list("pexip_engage", "customer", "enterprises/*/customers"),
    _list("open_food_network", "customer", "api/v1/customers", creates=True),
    _list("flow_retail", "customer", f"{_FLOW}/customers", creates=True),
    _list("flow_retail", "customer", f"{_FLOW}/customers/search", asks=True),
    _list("flow_retail", "customer", f"{_FLOW}/customers/external-search", asks=True),
    _list("flow_retail", "purchase_order", f"{_FLOW}/stores/*/purchase-orders"),
)

ASYNC_ROUTES = tuple(
    _steps("pack_cloud", f"{_INTEGRATION}/*/{path}")
    for path in ("actions/*/execute", "sync/orders", "sync/products", "sync/shipping-services", "sync/product-stocks")
)
"""What is begun by POST and answered 202 with nothing."""

EXTENSIONS = _steps("flow_retail", f"{_FLOW}/customers/{{id}}/extensions/*/*")
"""Where a customer's extension is added by POST and taken away by DELETE."""
