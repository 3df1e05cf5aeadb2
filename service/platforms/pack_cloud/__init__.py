"""Connector of pack.cloud."""
