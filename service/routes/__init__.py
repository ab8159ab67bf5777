"""The routes, a module for each thing that clients do; each makes a router from the services."""

from service.routes import operation, rank

__all__ = ["operation", "rank"]
