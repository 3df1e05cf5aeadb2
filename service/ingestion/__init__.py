"""Ingestion: from a verified delivery to stored events."""
