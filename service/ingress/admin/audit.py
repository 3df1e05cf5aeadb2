"""The audit log, as the controllers know it; commands write the same lines, see `service.oversight.audit`."""

from service.oversight.audit import tell_change

__all__ = ["tell_change"]
