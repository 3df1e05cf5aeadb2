"""Ingress: the webhook port, the admin port, and the server that runs both."""
