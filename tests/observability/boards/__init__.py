"""Pictures of the dashboards with real data: `python -m tests.observability.boards`."""
