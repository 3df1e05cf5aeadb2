"""Connections of one server that leaves the cluster."""

import asyncio

import pytest

from service.store import Store
from service.store.connection.connection import run_command
from service.store.connection.server import Link

pytestmark = pytest.mark.store


async def test_running_call_of_a_retired_server_succeeds_and_closes_its_connection(store: Store) -> None:
    server = store.client.servers.server_of(store.client.slot)
    sent, retired = asyncio.Event(), asyncio.Event()
    links: list[Link] = []

    async def send(link: Link) -> object:
        links.append(link)
        sent.set()
        await retired.wait()
        return await run_command(link.connection, "PING")

    call = asyncio.create_task(server.exchange(send))
    await sent.wait()
    await server.retire()
    retired.set()
    assert await call == b"PONG"
    assert not links[0].connection.is_connected
