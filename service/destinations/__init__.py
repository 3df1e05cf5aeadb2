"""Destinations: where actions send. One folder for each kind, which `registry` lists."""
