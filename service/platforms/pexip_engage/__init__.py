"""Connector of Pexip Engage."""
