"""The one room that knows Redis keys and Lua scripts. Everything else speaks of events, lanes, leases and rulebooks.

keys, scripts            the names of the keys, and the atomic calls (scripts/*.lua)
connection, durability   connections that are safe to trust
client, batching         one call, and many callers sharing one call
ingest                   what the ingress needs
leases, lanes, jobs      what a worker needs
rulebook, events, sample versions of rules; reading events; counting
store                    `open_store()`, which joins them
"""

from service.store.ingest import IngestRequest, IngestResult
from service.store.lanes import DecisionWrite, LaneHead, LaneStep, NextEvent, SettlementWrite
from service.store.last_states import LastState
from service.store.leases import Job, JobEnd
from service.store.quarantine import QuarantinedDelivery
from service.store.sample import QueueStats
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
