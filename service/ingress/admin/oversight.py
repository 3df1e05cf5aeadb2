"""The controllers whose work is done by `service.oversight`, which commands call as well; a new one is named here."""

from litestar import Controller

from service.ingress.admin.dead_letters import DeadLetters
from service.ingress.admin.events import Events
from service.ingress.admin.forgetting import Erasure
from service.ingress.admin.installation import Fleet, PlatformAccounts, Sources
from service.ingress.admin.quarantine import QuarantinedDeliveries

OVERSIGHT: tuple[type[Controller], ...] = (
    Events,
    DeadLetters,
    QuarantinedDeliveries,
    Sources,
    PlatformAccounts,
    Fleet,
    Erasure,
)
