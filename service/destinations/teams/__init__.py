"""Kind `teams`: messages to one channel or chat by a workflow of Microsoft Teams."""

from service.destinations.kind import DestinationKind
from service.destinations.teams.destination import TeamsConfig, TeamsDestination

TEAMS = DestinationKind(TeamsConfig, TeamsDestination)
