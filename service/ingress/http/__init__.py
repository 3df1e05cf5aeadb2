"""HTTP of both ports: connection limits, timeouts, responses, problems, health, OpenAPI."""
