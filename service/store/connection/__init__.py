"""Connections to the server: client, durability checks, batching."""
