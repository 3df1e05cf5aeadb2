"""Sandbox: a mock of the four platforms, for development, the demo and tests.

No pod imports it. Credentials are `TOKEN` everywhere, for Pexip Engage as client secret with any client id.
"""
