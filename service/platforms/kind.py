"""Kinds of platform: the parts that the folder of a platform offers to the registry."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from service.config.platforms import PlatformConfig
from service.http_client import HttpClient
from service.platforms.api.coercion import JsonObject
from service.platforms.api.responses import PlatformResponse
from service.platforms.api.token_cache import NO_TOKEN_CACHE, TokenCache
from service.platforms.writes import WriteOperation
from service.records import RECORDS, Record, RecordTypes, Timestamp
from service.secrets import SecretRef
from service.throttles.throttle import NO_THROTTLE, Throttle


class ConnectorDependencies(Struct, frozen=True):
    """Resources of one connector, and the types of records.

    The default throttle does not limit calls; the default token cache is empty.
    """

    http_client: HttpClient
    environ: Mapping[str, str]
    throttle: Throttle = NO_THROTTLE
    token_cache: TokenCache = NO_TOKEN_CACHE
    records: RecordTypes = RECORDS

    def secret(self, reference: SecretRef, path: str) -> str:
        """Resolve a secret.

        Args:
            reference: The reference in waybill.yaml.
            path: The path of the reference, such as `platforms.acme.token`.

        Returns:
            The secret.

        Raises:
            ConfigError: The secret is not set.
        """
        return reference.resolve(self.environ, path)


class RecordedAnswer(Struct, frozen=True):
    """Answer of a platform in a rule test: `platform` is a kind of platform or an account, `kind` a kind of record.

    `currency` is that of a platform whose records do not state one.
    """

    platform: str
    kind: str
    answer: Any
    currency: str | None = None


class SampleRequest(Struct, frozen=True):
    """Content of a sample delivery: `event` is the event type, `id` the record's id, `event_id` the event's own id."""

    event: str
    id: str
    event_id: str
    at: str


AnswerReader = Callable[[PlatformResponse, RecordedAnswer], tuple[JsonObject, Record, Timestamp]]


class PlatformKind(Struct, frozen=True):
    """One kind of platform.

    Attributes:
        config: The struct of an account in waybill.yaml; its tag is the name of the kind.
        connector: The class of the connector, called with account, configuration and dependencies.
        client: The class of the connector's `client`, with methods declared by `@operation`.
        readers: Functions that read a recorded answer, by kind of record.
        sample_event: The event type of a sample delivery; empty if the platform has no envelope of its own.
        sample_delivery: Builds the body of a sample delivery; None if the platform has no envelope of its own.
        configured_writes: Returns the writes that the configuration of an account declares.
        shown_names: Names that output does not redact, by the noun of an operation, as `redact_response` takes them.
    """

    config: type[PlatformConfig]
    connector: type[Any]
    client: type
    readers: Mapping[str, AnswerReader] = {}
    sample_event: str = ""
    sample_delivery: Callable[[SampleRequest, Any], dict[str, Any]] | None = None
    configured_writes: Callable[[Any], Mapping[str, WriteOperation]] = lambda _config: {}
    shown_names: Mapping[str, frozenset[str]] = {}

    def shown_names_of(self, operation: str) -> frozenset[str]:
        """Return the names that the output of an operation such as `rule.get` does not redact."""
        return self.shown_names.get(operation.partition(".")[0], frozenset())

    @property
    def name(self) -> str:
        """The name of the kind: the value of `kind` in waybill.yaml."""
        return str(self.config.__struct_config__.tag)
