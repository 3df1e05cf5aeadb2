"""Connector of a custom platform, by configuration alone: the paths of records and the pointers to their fields.

A custom platform has no envelope of its own, so its sources name one. It has no hints: events name their records.
"""

from service.errors import Rejection
from service.events import Delivery, Fact, RecordRef
from service.platforms.api.calls import ApiClient
from service.platforms.api.configured_records import ConfiguredRecords
from service.platforms.api.credentials import build_credentials
from service.platforms.base import CallContext, FetchedRecord, RecordPage
from service.platforms.custom.client import CustomClient
from service.platforms.custom.config import CustomConfig
from service.platforms.kind import ConnectorDependencies


class Custom:
    """Connector of one account on a custom platform.

    Raises:
        ConfigError: An unknown kind of record, or an unknown field in a map.
    """

    hints = CustomConfig.hints

    def __init__(self, account: str, config: CustomConfig, dependencies: ConnectorDependencies) -> None:
        self.account = account
        self._calls = ApiClient(
            account,
            config.base_url,
            dependencies.http_client,
            build_credentials(
                config.auth,
                account,
                dependencies.http_client,
                lambda reference, field: dependencies.secret(reference, f"platforms.{account}.auth.{field}"),
                token_cache=dependencies.token_cache,
            ),
            errors=config.errors,
            throttle=dependencies.throttle,
        )
        self.client = CustomClient(self, self._calls, config.operations)
        self._records = ConfiguredRecords("custom", self._calls, config.records, dependencies.records)

    def read(self, delivery: Delivery) -> tuple[Fact, ...]:
        """Reject every delivery: a custom platform has no envelope of its own. The configuration excludes this case.

        Raises:
            Rejection: 422 `unrecognized_event`.
        """
        raise Rejection(
            422, "unrecognized_event", f"the source {delivery.source} needs an envelope that is not `platform`"
        )

    async def resolve(self, ref: RecordRef, _context: CallContext, /) -> tuple[RecordRef, ...]:
        """Return the record itself: a custom platform has no hints."""
        return (ref,)

    async def fetch(self, ref: RecordRef, context: CallContext) -> FetchedRecord:
        """Fetch a record."""
        return await self._records.fetch(ref, context)

    async def list_records(self, kind: str, cursor: str | None, context: CallContext) -> RecordPage:
        """Fetch one page of the configured list.

        Returns:
            The page.

        Raises:
            PermanentError: `unknown_kind` for a kind without a list.
        """
        return await self._records.list_records(kind, cursor, context)
