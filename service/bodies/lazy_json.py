"""JSON that is decoded when it is read for the first time. Most rules read fields of the record only. Pure."""

from collections.abc import Callable

from service.events import JsonValue


class LazyJson:
    """JSON value of bytes that are known to be JSON. `decode` returns the value."""

    __slots__ = ("_decode", "_value")

    def __init__(self, decode: Callable[[], JsonValue]) -> None:
        self._decode: Callable[[], JsonValue] | None = decode
        self._value: JsonValue = None

    def read(self) -> JsonValue:
        """Return the value."""
        if self._decode is not None:
            self._value, self._decode = self._decode(), None
        return self._value


def read_json(value: LazyJson | JsonValue) -> JsonValue:
    """Return a JSON value, decoded now if it was not."""
    return value.read() if isinstance(value, LazyJson) else value
