"""Store access for management: events, status, replay, sweep, quarantine."""
