"""Processing of events: fetch, decision, effects, retries, history."""
