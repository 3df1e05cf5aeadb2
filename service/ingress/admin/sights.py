"""How much of an event or a refused delivery a caller may see, by their role and what they ask for."""

from typing import Annotated

from litestar.params import QueryParameter

from service.errors import Rejection
from service.oversight.audit import Actor
from service.oversight.views import Visibility

RawParameter = Annotated[bool, QueryParameter(description="bodies and inputs as they are; takes the role admin")]


def visibility_for(caller: Actor, *, raw: bool) -> Visibility:
    """Give what a caller may see.

    Raises:
        Rejection: 403 `permission_denied`.
    """
    if raw and caller.role != "admin":
        raise Rejection(403, "permission_denied", f"Raw bodies take the role admin; {caller.name} is {caller.role}.")
    if raw:
        return "raw"
    return "outline" if caller.role == "viewer" else "redacted"
