"""The paths of each platform: to one record, to a list of them, and to what is only to be begun.

Paths nobody documents are those that our connectors ask for where nothing else is configured.
"""

from msgspec import Struct

ANY = "*"
ID = "{id}"

Steps = tuple[str, ...]


class Way(Struct, frozen=True):
    """A path to a kind of record; `wrapped` puts it under `data`, `writes` lists what else than GET it takes."""

    platform: str
    kind: str
    steps: Steps
    wrapped: bool = False
    writes: tuple[str, ...] = ()

    def leads(self, segments: Steps) -> str | None:
        """Give the id if the path is this one."""
        return segments[self.steps.index(ID)] if fits(segments, self.steps) else None


class ListWay(Struct, frozen=True):
    """A path to a list, to which POST adds if `creates`; `asks` is one that is asked by POST."""

    platform: str
    kind: str
    steps: Steps
    creates: bool = False
    asks: bool = False


def fits(segments: Steps, steps: Steps) -> bool:
    """Whether a path is one of these."""
    return len(segments) == len(steps) and all(
        step in {segment, ANY, ID} for segment, step in zip(segments, steps, strict=True)
    )


def _steps(platform: str, path: str) -> Steps:
    return (platform, *path.split("/"))


def _way(platform: str, kind: str, path: str, *writes: str, wrapped: bool = False) -> Way:
    return Way(platform, kind, _steps(platform, path), wrapped, writes)


def _list(platform: str, kind: str, path: str, *, creates: bool = False, asks: bool = False) -> ListWay:
    return ListWay(platform, kind, _steps(platform, path), creates, asks)


_PACK, _FLOW = "v1/organizations/*", "v2/tenants/*"
_INTEGRATION, _RULE = f"{_PACK}/integrations", f"{_PACK}/rules"

WAYS = (
    _way("pack_cloud", "purchase_order", f"{_PACK}/purchase-orders/{{id}}"),
    _way("pack_cloud", "customer", f"{_PACK}/customers/{{id}}"),
    _way("pack_cloud", "order", f"{_PACK}/orders/{{id}}"),
    _way("pack_cloud", "integration", f"{_INTEGRATION}/{{id}}", "PUT", "DELETE"),
    _way("pack_cloud", "integration_settings", f"{_INTEGRATION}/{{id}}/settings"),
    _way("pack_cloud", "rule_type", f"{_PACK}/rule-types/{{id}}"),
    _way("pack_cloud", "rule", f"{_RULE}/{{id}}", "PUT", "DELETE"),
    _way("pack_cloud", "rule_action", f"{_RULE}/*/actions/{{id}}", "PUT", "DELETE"),
    _way("pack_cloud", "rule_condition", f"{_RULE}/*/conditions/{{id}}", "PUT", "DELETE"),
    _way("pexip_engage", "customer", "enterprises/*/customers/{id}", wrapped=True),
    _way("pexip_engage", "appointment", "enterprises/*/appointments/{id}", wrapped=True),
    _way("pexip_engage", "callback_request", "enterprises/*/callback-requests/{id}", wrapped=True),
    _way("open_food_network", "customer", "api/v1/customers/{id}", "PUT", "DELETE", wrapped=True),
    _way("open_food_network", "order", "api/v0/orders/{id}"),
    _way("flow_retail", "customer", f"{_FLOW}/customers/{{id}}", "PUT", "PATCH", "DELETE"),
    _way("flow_retail", "customer", f"{_FLOW}/stores/*/customers/{{id}}"),
    _way("flow_retail", "purchase_order", f"{_FLOW}/stores/*/purchase-orders/{{id}}"),
    _way("flow_retail", "tenant", "v2/tenants/{id}"),
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

BEGUN = tuple(
    _steps("pack_cloud", f"{_INTEGRATION}/*/{path}")
    for path in ("actions/*/execute", "sync/orders", "sync/products", "sync/shipping-services", "sync/product-stocks")
)
"""What is begun by POST and answered 202 with nothing."""

EXTENSIONS = _steps("flow_retail", f"{_FLOW}/customers/{{id}}/extensions/*/*")
"""Where a customer's extension is added by POST and taken away by DELETE."""
