"""The Lua scripts, each an atomic call that may be repeated after an ambiguous answer; they lie in scripts/.

A script's first line tells the server what to let it do. What takes something in (ingest, publish, quarantine, replay)
is refused whole where memory is full; what ends, frees or goes on is not (`allow-oom`), or a full store could never be
emptied. Which keys a call touches is known inside it alone, so none are declared, and a cluster could not run it. Its
time is the server's, never the caller's.
"""

import hashlib
from importlib.resources import files

from msgspec import Struct


class Script(Struct, frozen=True):
    """One script with the name it is called by: `source` for EVAL, `sha` for EVALSHA."""

    name: str
    source: str
    sha: str

    @property
    def is_reader(self) -> bool:
        """Whether it writes nothing, whatever it is asked."""
        return self.source.startswith("#!lua flags=no-writes")


def load_script(name: str) -> Script:
    """Read `scripts/<name>.lua` and put the shared part behind its first line, which holds the script's flags."""
    folder = files("service.store") / "scripts"
    flags, body = (folder / f"{name}.lua").read_text().split("\n", 1)
    source = f"{flags}\n{(folder / 'shared.lua').read_text()}\n{body}"
    return Script(name, source, hashlib.sha1(source.encode()).hexdigest())  # noqa: S324 - EVALSHA's own digest


INGEST, CLAIM, RENEW, DECIDE, SETTLE, FINISH = map(
    load_script, ("ingest", "claim", "renew", "decide", "settle", "finish")
)
QUEUE_STATS, PUBLISH, REPLAY, DISCARD, SWEEP, PAGE, ERASE, MEMORY_USAGE = map(
    load_script, ("queue_stats", "publish", "replay", "discard", "sweep", "page", "erase", "memory_usage")
)
THROTTLE_ACQUIRE, THROTTLE_RELEASE, OPEN_CIRCUITS, TOKEN, POLL, RECORD_STATUS, SHOW = map(
    load_script, ("throttle_acquire", "throttle_release", "open_circuits", "token", "poll", "record_status", "show")
)
