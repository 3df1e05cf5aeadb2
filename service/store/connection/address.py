"""Address of the store: WAYBILL_REDIS_URL, and the user and password beside it.

The URL of a cluster may have several servers, separated by commas: `redis://user:secret@one:6379,two:6379/0`.

No error contains a part of the URL: a password that is not percent-encoded can be at any place of it.
"""

import re
from urllib.parse import SplitResult, parse_qsl, urlsplit

from service.errors import ConfigError
from service.settings import Settings

SCHEMES = frozenset({"redis", "rediss", "unix"})
OPTIONS = frozenset({"db", "username", "password"})
FIX = (
    "write redis://host:6379/0, rediss://host:6379/0 or unix:///path, and for several servers of a cluster "
    "redis://one:6379,two:6379/0; percent-encode user and password "
    "(/ is %2F, # is %23, ? is %3F, @ is %40), or set WAYBILL_REDIS_USERNAME and WAYBILL_REDIS_PASSWORD instead"
)


def credentials_of(settings: Settings) -> dict[str, str]:
    """Return the user and the password that are set beside the URL.

    Raises:
        ConfigError: The URL is not valid, or has a user or a password too.
    """
    urls = urls_of(settings)
    parts = _split(urls[0])
    problem = next(filter(None, (_problem(_split(url)) for url in urls)), None)
    if problem:
        raise ConfigError("WAYBILL_REDIS_URL", problem, FIX)
    if len(urls) > 1 and settings.redis_sentinel:
        fix = "name one server in WAYBILL_REDIS_URL, or unset WAYBILL_REDIS_SENTINEL"
        raise ConfigError("WAYBILL_REDIS_URL", "has several servers, which only a cluster has, and sentinels", fix)
    given = {"username": settings.redis_username, "password": settings.redis_password}
    credentials = {name: value for name, value in given.items() if value}
    if credentials and (parts.username or parts.password or _options(parts) & {"username", "password"}):
        fix = "remove user and password from WAYBILL_REDIS_URL, or unset WAYBILL_REDIS_USERNAME and _PASSWORD"
        raise ConfigError("WAYBILL_REDIS_PASSWORD", "user or password are set twice, here and in the URL", fix)
    if "username" in credentials and "password" not in credentials:
        raise ConfigError("WAYBILL_REDIS_USERNAME", "there is no password for the user", "set WAYBILL_REDIS_PASSWORD")
    return credentials


def urls_of(settings: Settings) -> list[str]:
    """Return a URL for each server of WAYBILL_REDIS_URL, with the same user, password and options."""
    # Not by urlsplit: most versions of Python reject an IPv6 address that is not the first server.
    scheme, separator, rest = settings.redis_url.partition("://")
    netloc = re.split("[/?#]", rest, maxsplit=1)[0]
    credentials, at, servers = netloc.rpartition("@")
    options = rest[len(netloc) :]
    return [f"{scheme}{separator}{credentials}{at}{server}{options}" for server in servers.split(",")]


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise ConfigError("WAYBILL_REDIS_URL", "is not a URL", FIX) from None


def _problem(parts: SplitResult) -> str | None:
    if parts.scheme not in SCHEMES:
        return "does not start with redis://, rediss:// or unix://"
    if parts.fragment or not _options(parts) <= OPTIONS:
        return "has a # or an unknown option after ?"
    if parts.netloc.count("@") > 1:
        return "has more than one @: all servers have the user and the password before the first one"
    databases = [value for name, value in parse_qsl(parts.query) if name == "db"]
    if parts.scheme == "unix":
        problem = None if parts.path.strip("/") else "has no path of a socket"
    else:
        problem = _host_problem(parts)
        databases.append(parts.path.removeprefix("/") or "0")
    wrong = not all(database.isascii() and database.isdigit() for database in databases)
    return problem or ("has no number as its database" if wrong else None)


def _host_problem(parts: SplitResult) -> str | None:
    try:
        is_complete = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_complete = False
    return None if is_complete else "has no valid host and port"


def _options(parts: SplitResult) -> set[str]:
    return {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
