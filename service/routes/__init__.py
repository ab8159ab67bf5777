"""The routes, a module for each thing that clients do; each makes a router from the services."""

from service.routes import operation, policies, rank

__all__ = ["operation", "policies", "rank"]
