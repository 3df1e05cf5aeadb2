"""Ingestion: from a verified delivery to stored events. No module here imports the ingress or its HTTP libraries."""
