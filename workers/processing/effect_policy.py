"""Parts of waybill.yaml that change planned effects: destinations without order, and retry safety of operations."""

from collections.abc import Collection, Mapping

from msgspec import Struct

from service.actions import RetrySafety
from service.config import PlatformConfig
from service.rules import PlannedEffect
from workers.processing.history import StoredEffect


class EffectPolicy(Struct, frozen=True):
    """Policy of a configuration. `unordered` are the destinations whose effects have no order.

    `operations` are the declared operations by account, with their retry safety.
    """

    unordered: Collection[str] = ()
    operations: Mapping[str, Mapping[str, RetrySafety]] = {}

    def apply(self, effect: PlannedEffect) -> StoredEffect:
        """Return the effect to store. An operation that is not known here is unsafe."""
        inputs, repeat = effect.inputs, effect.repeat
        if effect.action_type == "platform":
            repeat = self.operations.get(inputs["account"], {}).get(inputs["operation"], repeat)
        destination = inputs.get("destination")
        is_ordered = effect.ordered and not (isinstance(destination, str) and destination in self.unordered)
        return StoredEffect(
            effect.rule_id,
            effect.action_id,
            effect.action_type,
            repeat,
            inputs,
            is_ordered,
            effect.latest_only and is_ordered,
        )


NO_POLICY = EffectPolicy()


def operations_of(platforms: Mapping[str, PlatformConfig]) -> Mapping[str, Mapping[str, RetrySafety]]:
    """Return the retry safety of all declared operations, by account and name."""
    return {
        account: {name: operation.repeat for name, operation in config.declared_operations().items()}
        for account, config in platforms.items()
    }
