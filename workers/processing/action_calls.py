"""Calls of actions: time limit, errors in the code of an action, and the outputs of a call."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from service.actions import Action
from service.errors import Deferred, LeaseLost, PermanentError, StoreNotDurable, StoreUnavailable, TransientError
from service.events import trace_id
from service.lease import ActionLease, Lease, action_lease, check_lease
from service.log import current_logger
from service.shared_timeouts import start_timeout
from service.store import IngestRequest, Shards, Store
from service.store.queue.outputs import EmittedEvent, Output
from workers.processing.action_context import RunningAction
from workers.processing.exchanges import ExchangeLimits
from workers.processing.history import StoredEffect


class EffectDependencies(Struct, frozen=True):
    """Dependencies of effects. `store` is the shard of the job, and `intake` receives derived events of others."""

    store: Store
    actions: Mapping[str, type[Action]]
    resources: Mapping[str, Any]
    action_timeout_seconds: float
    exchange_limits: ExchangeLimits
    intake: Shards


def destination_name(effect: StoredEffect, resources: Mapping[str, Any]) -> str | None:
    """Return the destination of waybill.yaml that an effect names. An input of another action can have any text."""
    name = effect.inputs.get("destination")
    destinations = resources.get("destinations")
    return name if isinstance(name, str) and destinations and name in destinations.by_name else None


async def call_action(
    dependencies: EffectDependencies, running: RunningAction, effect: StoredEffect, lease: Lease
) -> tuple[Mapping[str, Any], Sequence[Output]]:
    """Run the action of an effect. Return its result and the outputs to write with it.

    Raises:
        TransientError: as the action, or it did not end in time, is unknown, or raised another exception.
        PermanentError, Deferred: as the action.
        LeaseLost: the lease expired before a request of the action.
    """
    action = dependencies.actions.get(effect.action_type)
    if action is None:
        # During a rolling deployment a newer worker may have the action.
        raise TransientError("unknown_action", f"this worker has no action {effect.action_type!r}")
    checked = ActionLease(lease, is_unsafe=effect.repeat == "unsafe")
    token = action_lease.set(checked)
    try:
        with start_timeout(dependencies.action_timeout_seconds):
            answer = await action.run(effect.inputs, running)
            return answer, await _ingest_into_other_shards(dependencies, running.outputs)
    except TimeoutError:
        raise TransientError(
            "timeout", f"the action did not end within {dependencies.action_timeout_seconds} s"
        ) from None
    except (TransientError, PermanentError, Deferred):
        raise
    except LeaseLost as error:
        error.is_sent = checked.is_sent
        raise
    except (StoreUnavailable, StoreNotDurable) as error:  # the state of a throttle is unknown
        raise TransientError(error.kind, str(error)) from error
    except Exception as error:
        current_logger().exception(
            "action.crashed",
            event_id=running.event_id,
            trace_id=trace_id(running.traceparent),
            rule_id=effect.rule_id,
            action_id=effect.action_id,
        )
        raise TransientError("unexpected", f"{type(error).__name__} in the code of the action") from error
    finally:
        action_lease.reset(token)


async def _ingest_into_other_shards(dependencies: EffectDependencies, outputs: Sequence[Output]) -> Sequence[Output]:
    """Ingest emitted events of other shards now, and return the outputs that are written with the ledger.

    Event ids derive from the idempotency key of the effect, so a repeated event is a duplicate.
    """
    intake = dependencies.intake
    for_other_shards: list[IngestRequest] = [
        output.request
        for output in outputs
        if isinstance(output, EmittedEvent) and intake.of(output.request.event.record.lane) is not dependencies.store
    ]
    try:
        if for_other_shards:
            check_lease()
            await intake.ingest_all(for_other_shards)
    except (StoreUnavailable, StoreNotDurable) as error:
        raise TransientError(error.kind, str(error)) from error
    return [
        output for output in outputs if not (isinstance(output, EmittedEvent) and output.request in for_other_shards)
    ]
