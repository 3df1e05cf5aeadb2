"""State of platform accounts, shared by all pods: throttle, token cache, polls."""
