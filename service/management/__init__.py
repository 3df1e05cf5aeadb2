"""Management of an installation: search, replay, quarantine, rulebook, erasure, status.

The admin API and the commands call these functions, so that both give the same answers. The callers check roles.
These functions redact the output, reject invalid requests, and write the audit line of every change.
"""
