"""Many callers, one store call: whatever waits when a place is free goes out together.

Under load the size of a batch follows the round trip by itself, and a batch shares one fsync; a lone caller waits for
nobody. At most `in_flight_max` calls are under way, so that a slow store gathers larger batches instead of more calls.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class Batcher(Generic[ItemT, ResultT]):
    """Hands items to `send` in batches and their results back; a failed call fails each of its items alike."""

    def __init__(
        self, send: Callable[[Sequence[ItemT]], Awaitable[Sequence[ResultT]]], batch_max: int, in_flight_max: int
    ) -> None:
        self._send = send
        self._batch_max = batch_max
        self._in_flight_max = in_flight_max
        self._waiting: list[tuple[ItemT, asyncio.Future[ResultT]]] = []
        self._calls: set[asyncio.Task[None]] = set()
        self._scheduled = False

    async def submit(self, item: ItemT) -> ResultT:
        """Wait for the item's own result. A caller that is cancelled leaves its item in the batch."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[ResultT] = loop.create_future()
        self._waiting.append((item, future))
        if not self._scheduled and len(self._calls) < self._in_flight_max:
            self._scheduled = True
            # Not at once: whatever else is submitted in this turn of the loop goes out with it.
            loop.call_soon(self._start)
        return await future

    async def drain(self) -> None:
        """Wait until nothing is under way."""
        while self._calls:
            await asyncio.wait(self._calls)
            await asyncio.sleep(0)  # lets the next batch start

    def _start(self) -> None:
        self._scheduled = False
        while self._waiting and len(self._calls) < self._in_flight_max:
            batch, self._waiting = self._waiting[: self._batch_max], self._waiting[self._batch_max :]
            call = asyncio.get_running_loop().create_task(self._deliver(batch))
            self._calls.add(call)
            call.add_done_callback(self._ended)

    def _ended(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        if self._waiting and not self._scheduled:
            self._start()

    async def _deliver(self, batch: Sequence[tuple[ItemT, asyncio.Future[ResultT]]]) -> None:
        try:
            results = list(zip(batch, await self._send([item for item, _ in batch]), strict=True))
        except BaseException as error:  # noqa: BLE001 - whatever it is, each caller must learn of it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in results:
            # A caller that was cancelled meanwhile wants no result; its item was sent all the same.
            if not future.done():
                future.set_result(result)
