"""The admin API on the operators' port, under /api/v1: JSON in and out, a bearer token, a role checked on every route.

- `parts`      what the controllers stand on: settings, store, platforms, sources, actions
- `tokens`     who calls, by the digest of a bearer token, and whether the role suffices
- `problems`   refusals as problem+json with JSON pointers
- `audit`      one `admin.changed` line for every change
- `paging`, `etags`   pages of lists, and preconditions against lost updates
- `router`     joins the controllers; a new one is named there

A controller is a class with a `path`; each of its routes names the least `role` that may call it.
"""

from service.ingress.admin.parts import AdminDependencies
from service.ingress.admin.router import admin_router

__all__ = ["AdminDependencies", "admin_router"]
