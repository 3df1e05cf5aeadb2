"""Durability check: compares the server's settings with WAYBILL_DURABILITY.

A failover, a restart or a network fault leads to new connections, so the new server is checked before anything is
acknowledged on it. Settings also change at run time, so `client` repeats the check on open connections. These functions
are pure; `connection` sends the commands.
"""

from collections.abc import Iterator, Mapping

from service.settings import Durability

OLDEST = (7, 0)
OLDEST_WITH_WAITAOF = (7, 2)
REQUIRED_SETTINGS = {
    "appendonly": "yes",
    "appendfsync": "always",
    # With `yes` the server does not sync its file during a rewrite, and a power loss loses acknowledged events.
    "no-appendfsync-on-rewrite": "no",
    "maxmemory-policy": "noeviction",
}
CHECKED_SETTINGS = (*REQUIRED_SETTINGS, "maxmemory")
"""Arguments of CONFIG GET."""


def durability_problems(
    durability: Durability, info: Mapping[str, str], config: Mapping[str, str] | None
) -> str | None:
    """Return the first problem of a server and its fix; None if it meets `durability`.

    `info` has the fields of INFO. `config` has the fields of CONFIG GET, or is None if the server denies the command.
    """
    return next(_problems(durability, info, config), None)


def parse_info(answer: bytes) -> dict[str, str]:
    """Return the fields of a reply to INFO."""
    lines = answer.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


def _problems(durability: Durability, info: Mapping[str, str], config: Mapping[str, str] | None) -> Iterator[str]:
    version = tuple(int(part) for part in info.get("redis_version", "0.0").split(".")[:2])
    oldest = OLDEST_WITH_WAITAOF if durability == "replica" else OLDEST
    if version < oldest:
        yield f"the server is version {info.get('redis_version')}; {oldest[0]}.{oldest[1]} or later is required"
    # In a cluster, a replica redirects each call to its primary.
    if info.get("role", "master") != "master" and info.get("cluster_enabled") != "1":
        yield "the server is a replica; set WAYBILL_REDIS_URL to the primary, or set WAYBILL_REDIS_SENTINEL"
    if durability == "declared":
        # The server denies CONFIG; the operator declares its loss window instead.
        return
    if config is None:
        yield ("the server denies CONFIG; set WAYBILL_DURABILITY=declared and WAYBILL_DECLARED_LOSS_WINDOW_SECONDS")
        return
    yield from _setting_problems(config)


def _setting_problems(config: Mapping[str, str]) -> Iterator[str]:
    wrong = {name: value for name, value in REQUIRED_SETTINGS.items() if config.get(name) != value}
    if wrong:
        found = ", ".join(f"{name} is {config.get(name)!r}" for name in wrong)
        fix = " ".join(f"{name} {value}" for name, value in wrong.items())
        yield f"{found}; run CONFIG SET {fix}"
    if config.get("maxmemory", "0") == "0":
        # Without a limit the kernel ends the server when the machine has no memory left.
        yield "maxmemory is not set; run CONFIG SET maxmemory with a size below the memory of the server, such as 2gb"
