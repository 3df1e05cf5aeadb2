"""Console: pages for people at / of the admin port, rendered on the server.

The pages use the same management operations as the admin API and the commands. Every page works without JavaScript.
`router` lists the controllers.
"""

from service.ingress.console.router import console_router
from service.ingress.console.templates import template_config

__all__ = ["console_router", "template_config"]
