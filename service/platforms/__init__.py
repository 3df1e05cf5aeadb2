"""Platforms: one file each for how its deliveries are read, its hints followed and its records fetched.

base        what a platform offers                    http, answers, decoding, complaints   one GET and what it means
credentials how an account shows who it is            reading     from JSON to the fields of our records
deliveries  what the envelopes have in common         building    from waybill.yaml to connectors

To add one: its file, its struct in `service.config.platforms`, its lines in `building`, its samples in tests/samples.
"""

from service.platforms.base import FetchContext, Fetched, Platform
from service.platforms.building import PLATFORMS, build_platforms

__all__ = ["PLATFORMS", "FetchContext", "Fetched", "Platform", "build_platforms"]
