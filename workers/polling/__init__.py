"""Polling of platforms: lists of records, and the changes in them."""
