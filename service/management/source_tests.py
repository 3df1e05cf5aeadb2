"""Tests of sources: a signed delivery to the webhook port, as the sender makes it."""

from typing import TYPE_CHECKING

from service.errors import Rejection
from service.management.audit_entries import record_change
from service.management.audit_log import to_completion
from service.management.installation import InstallationOperations

if TYPE_CHECKING:  # as in `service.management.installation`
    from service.sending.source_tester import TestDelivery

EVENT_CHARACTERS_MAX = 200
RECORD_ID_CHARACTERS_MAX = 500


class SourceTestOperations(InstallationOperations):
    """Tests of the sources of an installation in the name of an actor."""

    def find_test_event(self, name: str) -> str | None:
        """Return the event type of a test delivery, None if Waybill cannot sign for the source.

        Raises:
            Rejection: 404 `not_found`.
        """
        self._check_source(name)
        return self.installation.source_tester().find_event(name)

    @to_completion
    async def test_source(self, name: str, event: str, record_id: str) -> "TestDelivery":
        """Send a delivery to a source of waybill.yaml, and return it with its answer. Its event is processed.

        Raises:
            Rejection: 404 `not_found`; 422 `invalid`: event type or record id, or Waybill cannot sign for the source.
            ConfigError: The secret of the source is not set.
            PermanentError: The delivery could not be sent.
        """
        self._check_source(name)
        for label, value, characters_max in (
            ("event", event, EVENT_CHARACTERS_MAX),
            ("record_id", record_id, RECORD_ID_CHARACTERS_MAX),
        ):
            if not 0 < len(value) <= characters_max:
                raise Rejection(422, "invalid", f"{label} has {len(value)} characters. Give 1 to {characters_max}.")
        tester = self.installation.source_tester()
        await record_change(self.installation.stores[0], self.actor, "source.tested", name)
        return await tester.send(name, event, record_id)

    def _check_source(self, name: str) -> None:
        known = self.installation.config().sources
        if name not in known:
            detail = f"source {name[:64]} not found. Use one of: {', '.join(known) or 'none is configured'}."
            raise Rejection(404, "not_found", detail)
