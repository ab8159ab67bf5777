"""The routes, a module for each thing that clients do; each makes a router from the services."""

from proofrank.service.routes import jobs, operation, pages, policies, rank

__all__ = ["jobs", "operation", "pages", "policies", "rank"]
