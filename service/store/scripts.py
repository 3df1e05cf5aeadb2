"""Lua scripts. Each is one atomic call, and safe to repeat after a lost reply.

The server does not undo the commands of a script that fails half-way (permission, type of a key, memory). Every prefix
of a script is safe: reads come first, an event is in `open`, `dead` or `ended` between any two commands, and the
command that makes a repeated call skip the work comes last.

A key of another type stops no script: the client repeats the call in the repairing form of the script, which sets the
key aside (`repairing.lua`). The sweep rebuilds the indexes.

The first line of a script declares its flags. Scripts that add data (ingest, publish, quarantine, replay) fail as a
whole at the memory limit. Scripts that end or release something are allowed there (`allow-oom`), so that a full store
can be emptied. Scripts compute their keys from the prefix. Each call declares the prefix as its only key, so that a
cluster finds the node of the call; all other keys have the same hash tag. Times are the server's.
"""

import hashlib
from functools import cache
from importlib.resources import files

from msgspec import Struct


class Script(Struct, frozen=True):
    """Lua script: `source` for EVAL, `sha` for EVALSHA."""

    name: str
    source: str
    sha: str
    repairing_source: str
    """The same script, which sets keys of another type aside instead of failing."""
    grouped_source: str
    """The same script for several shards of one server. Their arguments follow each other (`grouped.lua`)."""
    grouped_sha: str

    @property
    def is_reader(self) -> bool:
        """Whether the script never writes."""
        return self.source.startswith("#!lua flags=no-writes")


def load_script(name: str) -> Script:
    """Return the script `scripts/<name>.lua`, with `shared.lua` inserted after its first line."""
    flags, body = _read(name).split("\n", 1)
    shared, single, grouped, repairing = map(_read, ("shared", "single", "grouped", "repairing"))
    source = f"{flags}\nlocal set_aside\n{shared}\n{single}\n{body}"
    repairing_source = f"#!lua flags=allow-oom\n{repairing}\n{shared}\n{single}\n{body}"
    grouped_source = f"{flags}\nlocal set_aside\n{shared}\nlocal function run()\n{body}\nend\n{grouped}"
    return Script(name, source, _sha(source), repairing_source, grouped_source, _sha(grouped_source))


@cache
def _read(name: str) -> str:
    return (files("service.store") / "scripts" / f"{name}.lua").read_text(encoding="utf-8")


def _sha(source: str) -> str:
    return hashlib.sha1(source.encode()).hexdigest()  # noqa: S324 - the server requires it


INGEST, CLAIM, RENEW, DECIDE, SETTLE, FINISH = map(
    load_script, ("ingest", "claim", "renew", "decide", "settle", "finish")
)
QUEUE_STATS, PUBLISH, REPLAY, DISCARD, SWEEP, PAGE, ERASE, MEMORY_USAGE = map(
    load_script, ("queue_stats", "publish", "replay", "discard", "sweep", "page", "erase", "memory_usage")
)
THROTTLE_ACQUIRE, THROTTLE_RELEASE, OPEN_CIRCUITS, TOKEN, POLL, RECORD_STATUS, SHOW = map(
    load_script, ("throttle_acquire", "throttle_release", "open_circuits", "token", "poll", "record_status", "show")
)
COMMAND, DAMAGED_KEYS = map(load_script, ("command", "damaged_keys"))
CHECK, INSTALLATION, ACCEPT_INSTALLATION = map(load_script, ("check", "installation", "accept_installation"))
PARKED, UNPARK, ACTIVITY, COUNT_ARRIVALS = map(load_script, ("parked", "unpark", "activity", "count_arrivals"))
