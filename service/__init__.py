"""Code of both pods. `service.ingress` answers HTTP, `service.cli` holds the commands, `workers` runs the jobs."""
