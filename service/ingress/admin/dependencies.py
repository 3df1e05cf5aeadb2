"""Parameters that several controllers of the admin API take."""

from typing import Annotated

from litestar.di import NamedDependency
from litestar.params import QueryParameter, SkipValidation

from service.management.operations import AdminOperations
from service.management.platform_operations import PlatformOperations

Operations = NamedDependency[SkipValidation[AdminOperations]]
"""Type of the parameter `operations` of a route: management operations in the name of the caller."""

Accounts = NamedDependency[SkipValidation[PlatformOperations]]
"""Type of the parameter `accounts` of a route: operations on platform accounts in the name of the caller."""

RawParameter = Annotated[bool, QueryParameter(description="bodies and inputs as they are; takes the role admin")]
