"""Event queue: ingest, lanes, leases, serialization."""
