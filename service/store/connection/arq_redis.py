"""arq's client on all shards: each command and each pipeline goes to the server that has its first key."""

# redis-py 5.3.1 has incomplete types. Only this folder uses them.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownParameterType=false

from arq.connections import ArqRedis
from redis.asyncio.client import Pipeline

from service.store.connection.connection import StoreReply
from service.store.connection.servers import Servers


class ShardRedis(ArqRedis):
    """Client for `ctx["redis"]` and `arq.jobs.Job`. The slots are those that the calls of the worker know."""

    def __init__(self, servers: Servers, **options: StoreReply) -> None:
        super().__init__(servers.pool, **options)
        self._servers = servers

    async def execute_command(self, *args: StoreReply, **options: StoreReply) -> StoreReply:
        """Run a command on the server that has its key.

        Returns:
            The reply.
        """
        self.connection_pool = self._servers.pool_of(args)  # redis-py reads it before its first wait
        return await super().execute_command(*args, **options)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> "ShardPipeline":  # noqa: FBT001, FBT002 - the signature of redis-py
        """Return a pipeline for keys of one shard."""
        return ShardPipeline(self._servers, self.response_callbacks, transaction, shard_hint)


class ShardPipeline(Pipeline):
    """Pipeline on the server that has the key of its first command."""

    def __init__(self, servers: Servers, *options: StoreReply) -> None:
        super().__init__(servers.pool, *options)
        self._servers = servers

    def execute_command(self, *args: StoreReply, **options: StoreReply) -> StoreReply:
        """Run or queue a command as redis-py does.

        Returns:
            The reply, or this pipeline.
        """
        if self.connection is None and not self.command_stack:
            self.connection_pool = self._servers.pool_of(args)
        return super().execute_command(*args, **options)
