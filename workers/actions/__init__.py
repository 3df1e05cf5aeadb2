"""The actions, one a file. To add one, write its file and name it here; the tests of this list tell what is missing."""

from service.actions import Action
from workers.actions.emit import Emit
from workers.actions.http import Http
from workers.actions.log import Log
from workers.actions.publish import Publish

ACTIONS: tuple[type[Action], ...] = (Log, Http, Emit, Publish)
