"""Access to Valkey or Redis. Only this folder contains key names and Lua scripts.

- `store`, `shards`   one shard; all shards, with the records distributed among them
- `keys`, `scripts`   key names; Lua scripts
- `rulebook`          published rulebook versions
- `connection`        client, connections, durability checks, batching
- `queue`             ingest, lanes, leases, serialization
- `platforms`         throttle, token cache and polls, shared by all pods
- `management`        events, status, replay, sweep, quarantine
"""

from service.store.management.quarantine import QuarantinedDelivery
from service.store.management.queue_stats import QueueStats
from service.store.queue.ingest import IngestRequest, IngestResult
from service.store.queue.lanes import DecisionWrite, LaneHead, LaneStep, NextEvent, SettlementWrite, encode_order
from service.store.queue.last_state import LastState
from service.store.queue.leases import Job, JobEnd
from service.store.shards import Shards, build_shards, open_shards
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
    "build_shards",
    "encode_order",
    "open_shards",
    "open_store",
]
