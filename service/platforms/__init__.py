"""Platforms: one folder per platform, with its connector, its client and the mapping of its records.

- `base`       interface of a connector
- `registry`   connectors built from waybill.yaml
- `reads`, `writes`   operations that a person can run by hand
- `api`        HTTP calls, credentials, throttle and decoding, shared by all platforms
"""

from service.platforms.base import CallContext, FetchedRecord, Platform
from service.platforms.reads import READS, ReadOperation
from service.platforms.registry import PLATFORMS, build_platforms

__all__ = ["PLATFORMS", "READS", "CallContext", "FetchedRecord", "Platform", "ReadOperation", "build_platforms"]
