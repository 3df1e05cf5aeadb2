"""Parameters that several controllers of the admin API take."""

from typing import Annotated

from litestar.di import NamedDependency
from litestar.params import QueryParameter, SkipValidation
from msgspec import Meta

from service.management.operations import AdminOperations
from service.management.platform_operations import PlatformOperations

Operations = NamedDependency[SkipValidation[AdminOperations]]
"""Type of the parameter `operations` of a route: management operations in the name of the caller."""

Accounts = NamedDependency[SkipValidation[PlatformOperations]]
"""Type of the parameter `accounts` of a route: operations on platform accounts in the name of the caller."""

RawParameter = Annotated[bool, QueryParameter(description="bodies and inputs as they are; takes the role admin")]

RecordName = Annotated[
    str, Meta(min_length=1, max_length=500, description="ACCOUNT:KIND:ID, such as pack:purchase_order:5a7d2f90")
]
"""Name of a record in a request."""
