"""Management of an installation: search, replay, quarantine, rulebook, erasure, status.

The admin API and the commands call `operations.AdminOperations`, which joins the operations of each area. The admin API
checks the role of a route. Management redacts output, rejects invalid requests and writes the audit line of a change.
"""
