"""Platforms: one folder per platform, with its configuration, its connector, its client and the mapping of its records.

- `base`       interface of a connector
- `kind`       parts that a platform's folder offers
- `registry`   list of the platforms; connectors built from waybill.yaml
- `loading`    waybill.yaml with the platforms of the registry
- `reads`, `writes`   operations that a person can run by hand
- `api`        HTTP calls, credentials, throttle and decoding, shared by all platforms
"""

from service.platforms.base import CallContext, FetchedRecord, Platform

__all__ = ["CallContext", "FetchedRecord", "Platform"]
