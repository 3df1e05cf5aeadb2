"""Connector of Open Food Network."""
