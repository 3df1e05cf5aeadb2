"""Challenges by which a platform checks that the endpoint belongs to the receiver."""
