"""/quarantine: list, show, reverify, release and delete rejected deliveries."""

from litestar import Controller, delete, get, post
from litestar.params import FromPath

from service.ingress.admin.dependencies import Operations, RawParameter
from service.ingress.admin.events import TextFilter
from service.ingress.admin.paging import After, LimitParameter
from service.management.quarantine import Deleted, Diagnosed, QuarantinedView, QuarantinePage, Reverified


class QuarantinedDeliveries(Controller):
    """Quarantine: rejected deliveries, stored for a limited time."""

    path = "/quarantine"
    tags = ("Quarantine",)

    @get("/", role="viewer")
    async def list_quarantine(
        self, operations: Operations, source: TextFilter = None, limit: LimitParameter = 50, after: After = None
    ) -> QuarantinePage:
        """List quarantined deliveries, newest first."""
        return await operations.list_quarantine(source, limit, after)

    @get("/{quarantined_id:str}", role="viewer")
    async def get_quarantined(
        self, quarantined_id: FromPath[str], operations: Operations, raw: RawParameter = False
    ) -> QuarantinedView:
        """Return one quarantined delivery. Possible credentials are shown with `raw` only."""
        return await operations.get_quarantined(quarantined_id, raw=raw)

    @post("/{quarantined_id:str}/reverify", role="operator", status_code=200)
    async def reverify_quarantined(self, quarantined_id: FromPath[str], operations: Operations) -> Reverified:
        """Reverify one quarantined delivery with the current configuration. Changes nothing."""
        return await operations.reverify_quarantined(quarantined_id)

    @post("/{quarantined_id:str}/diagnose", role="operator", status_code=200)
    async def diagnose_quarantined(self, quarantined_id: FromPath[str], operations: Operations) -> Diagnosed:
        """Find the schemes and configured secrets that verify one quarantined delivery. Changes nothing."""
        return await operations.diagnose_quarantined(quarantined_id)

    @post("/{quarantined_id:str}/release", role="operator", status_code=200)
    async def release_quarantined(self, quarantined_id: FromPath[str], operations: Operations) -> Reverified:
        """Ingest one quarantined delivery if it verifies now, and remove it from quarantine."""
        return await operations.release_quarantined(quarantined_id)

    @delete("/{quarantined_id:str}", role="operator", status_code=200)
    async def delete_quarantined(self, quarantined_id: FromPath[str], operations: Operations) -> Deleted:
        """Delete one quarantined delivery."""
        return await operations.delete_quarantined(quarantined_id)
