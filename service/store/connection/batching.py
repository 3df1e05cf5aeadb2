"""Batching: items of concurrent callers share one store call and one fsync.

A batch contains all items that are queued when a call can start; a single item is sent immediately. At most
`in_flight_max` calls run at once, so a slow store receives larger batches instead of more calls.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class Batcher(Generic[ItemT, ResultT]):
    """Passes items to `send` in batches and returns their results. An error of a call is raised for all its items."""

    def __init__(
        self, send: Callable[[Sequence[ItemT]], Awaitable[Sequence[ResultT]]], batch_max: int, in_flight_max: int
    ) -> None:
        self._send = send
        self._batch_max = batch_max
        self._in_flight_max = in_flight_max
        self._queued: list[tuple[ItemT, asyncio.Future[ResultT]]] = []
        self._calls: set[asyncio.Task[None]] = set()
        self._scheduled = False

    async def submit(self, item: ItemT) -> ResultT:
        """Return the item's result. If the caller is cancelled, its item stays in the batch."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[ResultT] = loop.create_future()
        self._queued.append((item, future))
        if not self._scheduled and len(self._calls) < self._in_flight_max:
            self._scheduled = True
            # In the next iteration of the event loop, so that items submitted until then share the call.
            loop.call_soon(self._start)
        return await future

    async def drain(self) -> None:
        """Wait until no call is running."""
        while self._calls:
            await asyncio.wait(self._calls)
            await asyncio.sleep(0)  # the next batch starts

    def _start(self) -> None:
        self._scheduled = False
        while self._queued and len(self._calls) < self._in_flight_max:
            batch, self._queued = self._queued[: self._batch_max], self._queued[self._batch_max :]
            call = asyncio.get_running_loop().create_task(self._send_batch(batch))
            self._calls.add(call)
            call.add_done_callback(self._handle_done)

    def _handle_done(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        if self._queued and not self._scheduled:
            self._start()

    async def _send_batch(self, batch: Sequence[tuple[ItemT, asyncio.Future[ResultT]]]) -> None:
        try:
            results = list(zip(batch, await self._send([item for item, _ in batch]), strict=True))
        except BaseException as error:  # noqa: BLE001 - raised in each caller
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in results:
            # The future of a cancelled caller is done already.
            if not future.done():
                future.set_result(result)
