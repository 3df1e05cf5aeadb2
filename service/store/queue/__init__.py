"""Queue of events: ingest, lanes, leases, serialization."""
