"""Store: the only folder that knows Redis keys and Lua scripts.

- `keys`, `scripts`   names of the keys, and the Lua scripts
- `connection`   connections, durability, batching
- `queue`        ingest, lanes, leases, outputs
- `platforms`    throttle, token cache and polls, shared by all pods
- `management`   search, status, replay, sweep, quarantine
- `store`, `shards`   one store, and several
"""

from service.store.management.quarantine import QuarantinedDelivery
from service.store.management.queue_stats import QueueStats
from service.store.queue.ingest import IngestRequest, IngestResult
from service.store.queue.lanes import DecisionWrite, LaneHead, LaneStep, NextEvent, SettlementWrite
from service.store.queue.last_state import LastState
from service.store.queue.leases import Job, JobEnd
from service.store.shards import Shards, open_shards
from service.store.store import Store, open_store

__all__ = [
    "DecisionWrite",
    "IngestRequest",
    "IngestResult",
    "Job",
    "JobEnd",
    "LaneHead",
    "LaneStep",
    "LastState",
    "NextEvent",
    "QuarantinedDelivery",
    "QueueStats",
    "SettlementWrite",
    "Shards",
    "Store",
    "open_shards",
    "open_store",
]
