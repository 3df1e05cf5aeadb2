"""Limits and circuit breakers of platform accounts and destinations, shared by all pods through the store."""
