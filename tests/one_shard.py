"""Settings of a test that looks at the keys of the only shard of an installation."""

from collections.abc import Mapping

from service.settings import Settings, load_settings
from service.store.shards import shard_settings

ONE_SHARD = {"WAYBILL_SHARDS": "1"}
"""Variables of the processes of such an installation."""
PREFIX = "{wb:00:st}:"
"""Prefix of its keys."""


def one_shard_settings(environ: Mapping[str, str]) -> Settings:
    """Return the settings of the shard of an installation with these variables."""
    return shard_settings(load_settings({**environ, **ONE_SHARD}), 0)
