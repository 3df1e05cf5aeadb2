"""The audit log: one line for every change that somebody made in the admin API, at its end. Never what was written."""

from typing import Any

from service.ingress.admin.parts import Operator
from service.log import get_logger


def tell_change(caller: Operator, what: str, target: str, **fields: Any) -> None:  # noqa: ANN401 - plain log fields
    """Log `admin.changed`: `what` in the past tense (`rule.updated`), `target` the id of what was changed."""
    get_logger().info("admin.changed", actor=caller.name, role=caller.role, what=what, target=target, **fields)
