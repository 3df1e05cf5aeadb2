"""Generator of dashboards and alerts: `python -m helm.dashboards.generator` writes them into helm/."""
