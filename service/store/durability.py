"""Does the server keep what WAYBILL_DURABILITY promises? Asked of every server a connection reaches for the first time.

The thinking (`shortfall`) is pure; the asking is two commands. A failover or a restart gives a new run id and so a new
question, before anything is acknowledged on the new server.
"""

from collections.abc import Mapping

from service.settings import Durability

OLDEST = (7, 0)
OLDEST_WITH_WAITAOF = (7, 2)


def shortfall(durability: Durability, info: Mapping[str, str], config: Mapping[str, str] | None) -> str | None:
    """Say why a server is not safe enough, with what to do about it; None if it is.

    `info` is INFO as text fields, `config` what CONFIG GET gave, or None where the server hides it.
    """
    version = tuple(int(part) for part in info.get("redis_version", "0.0").split(".")[:2])
    oldest = OLDEST_WITH_WAITAOF if durability == "replica" else OLDEST
    if version < oldest:
        return f"the server is version {info.get('redis_version')}; {oldest[0]}.{oldest[1]} or later is needed"
    if info.get("cluster_enabled") == "1":
        return (
            "the server runs in cluster mode; use one primary with replicas, Sentinel, or a managed server without it"
        )
    if info.get("role") not in {"master", None}:
        return "the server is a replica; point WAYBILL_REDIS_URL at the primary, or name the sentinels"
    if durability == "declared":
        return None
    if config is None:
        return "the server hides CONFIG; set WAYBILL_DURABILITY=declared and state its loss window"
    wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
    for name, value in wanted.items():
        if config.get(name) != value:
            return f"{name} is {config.get(name)!r}; CONFIG SET {name} {value}"
    if durability == "replica" and int(info.get("connected_slaves", "0")) < 1:
        return "no replica is connected; WAYBILL_DURABILITY=replica needs at least one"
    return None


def parse_info(answer: bytes) -> dict[str, str]:
    """Turn INFO's answer into its fields."""
    lines = answer.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))
