"""Sandbox: mocks of the platforms, for development, the demo and tests. No pod imports it.

The credentials of every platform are `service.mock.platform.TOKEN`, for Pexip Engage as client secret.
"""
