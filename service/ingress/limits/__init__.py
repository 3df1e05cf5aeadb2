"""Limits of deliveries: rate limits, token buckets, client address."""
