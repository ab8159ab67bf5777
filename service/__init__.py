"""The service around the evaluator: HTTP, metrics, settings and the command line. May import ``core``."""
