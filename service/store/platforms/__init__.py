"""State of the platform accounts that all pods share: throttle, token cache, polls."""
