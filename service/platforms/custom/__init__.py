"""Connector of a platform that is described in waybill.yaml."""
