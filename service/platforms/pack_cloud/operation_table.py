"""Table of pack.cloud's operations: those below one organization."""

from service.platforms.api.operation_methods import OperationTable
from service.platforms.pack_cloud.records import read_page

TABLE = OperationTable("/organizations/{organization}", wrapped=None, read_page=read_page)
