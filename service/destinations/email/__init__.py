"""Kind `email`: text messages by SMTP."""

from service.destinations.email.config import EmailConfig
from service.destinations.email.destination import EmailDestination
from service.destinations.kind import DestinationKind

EMAIL = DestinationKind(EmailConfig, EmailDestination)
