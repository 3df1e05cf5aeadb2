"""Signed deliveries to a source, as its sender makes them: for `waybill send` and for tests of a source."""
