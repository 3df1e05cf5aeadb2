"""Connection options of commands, the client of an installation, and exit codes.

With --url (WAYBILL_ADMIN_URL) a command calls the admin API with the token of --token, WAYBILL_ADMIN_TOKEN or a file.
Without --url it uses the store of WAYBILL_REDIS_URL, or of a running `waybill dev`.
Exit codes: 0 success; 1 rejected, or no response; 2 usage or configuration error, such as an unknown id.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from pkgutil import resolve_name
from typing import IO, TYPE_CHECKING, Any, TypeAlias, TypeVar

import click
from msgspec import Struct

from service.cli.output import print_text
from service.errors import ConfigError, Rejection, WaybillError

if TYPE_CHECKING:
    from service.cli.api_client import AdminApiClient
    from service.management.operations import AdminOperations

AdminClient: TypeAlias = "AdminOperations | AdminApiClient"
"""Client of an installation, by its stores or by its admin API."""

OPEN_API_CLIENT = "service.cli.api_connection:open_api_client"
OPEN_STORE_CLIENT = "service.cli.store_client:open_store_client"
"""Functions that open a client, by name: a command imports only the client that it uses."""

AnyClient = TypeVar("AnyClient")
T = TypeVar("T")

EXIT_FAILED = 1
EXIT_USAGE = 2
USAGE_ERROR_STATUSES = frozenset({400, 404, 409, 422})
"""HTTP statuses that a different command line can avoid."""

BAD_GATEWAY = 502
"""HTTP status of platform errors. The message starts with the error kind, as without the admin API."""


class ConnectionOptions(Struct, frozen=True):
    """URL and token of the admin API; without a `url` the stores are used."""

    url: str | None
    token: str | None
    token_file: Path | None

    def read_token(self) -> str:
        """Return the token.

        Raises:
            ConfigError: The token is missing, or its file cannot be read.
        """
        token = self.token
        if token is None and self.token_file is not None:
            try:
                token = self.token_file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(
                    "--token-file", f"cannot read the file: {error}", "name a file with the token"
                ) from None
        if token is None or not token.strip() or not token.strip().isprintable():
            raise ConfigError("--token", "the token is missing", "set WAYBILL_ADMIN_TOKEN, or name a --token-file")
        return token.strip()


class CommandError(click.ClickException):
    """Error that ends a command with one line of text and an exit code."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # pyright: ignore[reportAttributeAccessIssue] - click types its default as final

    def show(self, file: IO[Any] | None = None) -> None:  # noqa: ARG002 - click's signature
        """Print the error with the prefix of all commands."""
        print_text(f"waybill: {self.format_message()}", err=True)


def connection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the connection options to a command, which receives them as `connection`."""

    @click.option(
        "--url",
        envvar="WAYBILL_ADMIN_URL",
        help="Call the admin API at this URL instead of using the stores. [WAYBILL_ADMIN_URL]",
    )
    @click.option("--token", envvar="WAYBILL_ADMIN_TOKEN", help="Token for --url. [WAYBILL_ADMIN_TOKEN]")
    @click.option(
        "--token-file",
        envvar="WAYBILL_ADMIN_TOKEN_FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help="File with the token for --url. [WAYBILL_ADMIN_TOKEN_FILE]",
    )
    @functools.wraps(command)
    def connected(
        *args: object,
        url: str | None,
        token: str | None,
        token_file: Path | None,
        **kwargs: object,
    ) -> None:
        command(*args, connection=ConnectionOptions(url or None, token, token_file), **kwargs)

    return connected


def run_with_client(connection: ConnectionOptions, call: Callable[[AdminClient], Awaitable[T]]) -> T:
    """Open a client, run `call` with it, and close it.

    Raises:
        CommandError: The call was rejected, the store or API does not answer, or the configuration is not valid.
    """
    return run_with(open_client(connection), call)


def run_with_stores(call: Callable[["AdminOperations"], Awaitable[T]]) -> T:
    """Run `call` with a client that uses the stores, as `run_with_client`.

    Raises:
        CommandError: The call was rejected, the store does not answer, or the configuration is not valid.
    """
    return run_with(resolve_name(OPEN_STORE_CLIENT)(), call)


def run_with(client: AbstractAsyncContextManager[AnyClient], call: Callable[[AnyClient], Awaitable[T]]) -> T:
    """Run `call` with a given client, as `run_with_client`."""

    async def run() -> T:
        async with client as opened:
            return await call(opened)

    try:
        return asyncio.run(run())
    except Rejection as rejection:
        message = f"{rejection.code}: {rejection.detail}" if rejection.status == BAD_GATEWAY else rejection.detail
        exit_code = EXIT_USAGE if rejection.status in USAGE_ERROR_STATUSES else EXIT_FAILED
        raise CommandError(message, exit_code) from rejection
    except ConfigError as error:
        raise CommandError(str(error), EXIT_USAGE) from error
    except WaybillError as error:
        raise CommandError(f"{error.kind}: {error}") from error


def open_client(connection: ConnectionOptions) -> AbstractAsyncContextManager[AdminClient]:
    """Return a client of the admin API at the URL of `connection`, or without a URL of the stores."""
    return resolve_name(OPEN_STORE_CLIENT)() if connection.url is None else resolve_name(OPEN_API_CLIENT)(connection)
