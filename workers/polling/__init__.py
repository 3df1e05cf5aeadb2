"""Polling of platforms: lists records, detects changes and ingests them as events."""
