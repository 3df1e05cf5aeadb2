"""Does the server keep what WAYBILL_DURABILITY promises? Asked on every fresh connection.

The thinking (`durability_problems`) is pure; the asking is three commands. A failover, a restart or a network fault
gives new connections and so a new question, before anything is acknowledged on the server behind them.
"""

from collections.abc import Iterator, Mapping

from service.settings import Durability

OLDEST = (7, 0)
OLDEST_WITH_WAITAOF = (7, 2)
REQUIRED_SETTINGS = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


def durability_problems(
    durability: Durability, info: Mapping[str, str], config: Mapping[str, str] | None
) -> str | None:
    """Say why a server is not safe enough, with what to do about it; None if it is.

    `info` is INFO as text fields, `config` what CONFIG GET gave, or None where the server hides it.
    """
    return next(_complaints(durability, info, config), None)


def parse_info(answer: bytes) -> dict[str, str]:
    """Turn INFO's answer into its fields."""
    lines = answer.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


def _complaints(durability: Durability, info: Mapping[str, str], config: Mapping[str, str] | None) -> Iterator[str]:
    version = tuple(int(part) for part in info.get("redis_version", "0.0").split(".")[:2])
    oldest = OLDEST_WITH_WAITAOF if durability == "replica" else OLDEST
    if version < oldest:
        yield f"the server is version {info.get('redis_version')}; {oldest[0]}.{oldest[1]} or later is needed"
    # The keys of one script would lie on several nodes, and no call could be atomic.
    if info.get("cluster_enabled") == "1":
        yield "the server runs in cluster mode; use one primary with replicas, Sentinel, or a managed server without it"
    if info.get("role", "master") != "master":
        yield "the server is a replica; point WAYBILL_REDIS_URL at the primary, or name the sentinels"
    if durability == "declared":
        # The server hides what would have to be asked; the operator states its loss window instead.
        return
    if config is None:
        yield "the server hides CONFIG; set WAYBILL_DURABILITY=declared and state its loss window"
        return
    short = {name: value for name, value in REQUIRED_SETTINGS.items() if config.get(name) != value}
    if short:
        found = ", ".join(f"{name} is {config.get(name)!r}" for name in short)
        mended = " ".join(f"{name} {value}" for name, value in short.items())
        yield f"{found}; CONFIG SET {mended}"
