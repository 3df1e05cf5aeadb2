"""Reads of a custom platform: one record, or one page of a list, of any configured kind."""

from service.events import JsonValue, RecordRef
from service.platforms.api.declared_operations import operation
from service.platforms.api.operations import NO_CONTEXT
from service.platforms.base import CallContext, Platform, RecordPage


class CustomClient:
    """Operations of one account. waybill.yaml gives their paths, one for each kind of record."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @operation("record.get", "GET", "", "")
    async def get_record(self, kind: str, id: str, context: CallContext = NO_CONTEXT) -> JsonValue:  # noqa: A002 - the argument's name
        """Fetch one record.

        Args:
            kind: The kind of record.
            id: The record's id.
            context: The event that the call belongs to.

        Returns:
            The platform's own JSON without its envelope, None if there is no such record.
        """
        fetched = await self._platform.fetch(RecordRef(self._platform.account, kind, id), context)
        return None if fetched.record is None else fetched.raw

    @operation("record.list", "GET", "", "")
    async def list_records(self, kind: str, cursor: str | None = None, context: CallContext = NO_CONTEXT) -> RecordPage:
        """Fetch one page of a list.

        Args:
            kind: The kind of record.
            cursor: The `next` of the page before, None for the first page.
            context: The event that the call belongs to.

        Returns:
            The page.
        """
        return await self._platform.list_records(kind, cursor, context)
