"""Connector of Flow Retail."""
