"""Kind `http`: any target that takes HTTP requests."""

from service.destinations.http.config import HttpConfig
from service.destinations.http.destination import HttpDestination
from service.destinations.kind import DestinationKind

HTTP = DestinationKind(HttpConfig, HttpDestination)
