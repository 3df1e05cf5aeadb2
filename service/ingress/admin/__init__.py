"""Admin API under /api/v1: JSON, bearer tokens, and a role on every route.

`router` lists the controllers. A controller is a class with a `path`; each route names its minimum `role`.
"""

from service.ingress.admin.router import admin_router

__all__ = ["admin_router"]
