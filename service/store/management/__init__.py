"""Access to stored events for management: search, status, replay, sweep, quarantine."""
