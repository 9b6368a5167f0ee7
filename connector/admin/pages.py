"""Registers every page on the site; imported once all applications are ready."""

from connector.admin import accounts, audit, connections, deliveries, inbox, organizations, routes

__all__ = ["accounts", "audit", "connections", "deliveries", "inbox", "organizations", "routes"]
