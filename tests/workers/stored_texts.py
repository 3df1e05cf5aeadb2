"""Everything that a store has, as text, to search it for secrets."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from service.store import Store
from service.store.queue.serialization import decompress_body, decompress_history

READ_BY_TYPE = {
    b"string": ("GET",), b"hash": ("HGETALL",), b"list": ("LRANGE", 0, -1), b"set": ("SMEMBERS",),
    b"zset": ("ZRANGE", 0, -1), b"stream": ("XRANGE", "-", "+"),
}  # fmt: skip
ZSTD_MAGIC = b"(\xb5/\xfd"


async def stored_texts(store: Store) -> AsyncIterator[str]:
    """Yield every key and every value of a store: as stored, and decompressed."""
    call = store.client.command
    for key in await call("KEYS", "*"):
        yield repr(key)
        command, *arguments = READ_BY_TYPE[await call("TYPE", key)]
        for value in _values(await call(command, key, *arguments)):
            yield value.decode(errors="replace")
            yield decompress_history(value).decode(errors="replace")
            if ZSTD_MAGIC in value:
                yield decompress_body(value[value.index(ZSTD_MAGIC) :]).decode(errors="replace")


def _values(reply: Any) -> Iterator[bytes]:
    if isinstance(reply, bytes):
        yield reply
    elif isinstance(reply, list | tuple | set):
        for item in reply:  # pyright: ignore[reportUnknownVariableType]
            yield from _values(item)
    elif isinstance(reply, dict):
        for pair in reply.items():  # pyright: ignore[reportUnknownVariableType]
            yield from _values(pair)
