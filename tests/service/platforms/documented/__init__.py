"""Platforms as their documentation describes them: one table for each platform, and a strict fake that answers it.

Nothing here is shared with the sandbox or with `service.mock`. A table names every operation, verb, path, header, body,
enumeration, nullable field and error of the pages; `test_documented_platforms` fails for an operation without a row.
"""
