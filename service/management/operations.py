"""Management operations of an installation, called by the admin API and by commands that use the stores directly."""

from service.management import erasure
from service.management.audit_entries import AuditOperations
from service.management.dead_letter_groups import DeadLetterGroupOperations
from service.management.destinations import DestinationOperations
from service.management.dry_run import DryRunOperations
from service.management.erasure import ErasureReport
from service.management.explanation import ExplanationOperations
from service.management.live import LiveOperations
from service.management.overview import OverviewOperations
from service.management.quarantine import QuarantineOperations
from service.management.replay import ReplayOperations
from service.management.rule_statistics import RuleStatisticsOperations
from service.management.settings_view import SettingsOperations
from service.management.source_tests import SourceTestOperations
from service.management.status import StatusOperations


class AdminOperations(
    ReplayOperations,
    QuarantineOperations,
    DryRunOperations,
    StatusOperations,
    LiveOperations,
    OverviewOperations,
    ExplanationOperations,
    DeadLetterGroupOperations,
    RuleStatisticsOperations,
    SettingsOperations,
    DestinationOperations,
    SourceTestOperations,
    AuditOperations,
):
    """All operations on the stores of an installation in the name of an actor.

    Every operation may raise Rejection, ConfigError, StoreUnavailable and StoreNotDurable. Dry runs fetch a record and
    tests of destinations send a request; both may raise TransientError, PermanentError and Deferred.
    """

    async def erase_customer(self, record: str, *, dry_run: bool) -> ErasureReport:
        """Erase a customer, or count what an erasure would remove. Without a configuration all sources are searched.

        Raises:
            ConfigError: `record` is not the record of a customer.
            Rejection: 404 `not_found`: The account is not configured, and no item of it was found.
            StoreUnavailable: A store does not answer.
        """
        config = self.installation.config() if self.installation.is_configured else None
        sources, accounts = (config.sources, config.platforms) if config else (None, {})
        customer = erasure.erasure_target(record, sources, accounts)
        return await erasure.erase_customer(self.stores, self.actor, customer, dry_run=dry_run)
