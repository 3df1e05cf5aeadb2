"""Dashboards and alerts as data: `python -m helm.dashboards.generator` writes them into helm/, a test compares them."""
