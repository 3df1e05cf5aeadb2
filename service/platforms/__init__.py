"""Platforms: one file each for how its deliveries are read, its hints followed and its records fetched.

base        what a platform offers                    http, answers, decoding, complaints   one call and what it means
credentials how an account shows who it is, tokens    reading     from JSON to the fields of our records
deliveries  what the envelopes have in common         building    from waybill.yaml to connectors
operations  a platform's operations as data           reads, writes   those that can be asked for by hand
gate        what every call passes                    manners     the gate that keeps to limits and pauses

A platform is its connector (`pack_cloud`), its client with one method an operation (`pack_cloud_client`), and how its
records are read. To add one: its files, its struct in `service.config.platforms`, its lines in `building`, `reads` and
`writes`, its samples in tests/samples.
"""

from service.platforms.base import CallContext, FetchedRecord, Platform
from service.platforms.building import PLATFORMS, build_platforms
from service.platforms.reads import READS, ReadOperation

__all__ = ["PLATFORMS", "READS", "CallContext", "FetchedRecord", "Platform", "ReadOperation", "build_platforms"]
