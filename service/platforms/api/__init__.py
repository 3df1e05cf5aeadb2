"""HTTP calls to platforms: credentials, token cache, throttle, decoding, error messages."""
