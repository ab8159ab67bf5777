"""The evaluator of a server: how it is loaded, how requests rank by it, and how it is replaced."""
