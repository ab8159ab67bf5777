"""Load for a running server, over HTTP: locust users, a summary with an objective, and measurements at saturation.

Nothing here imports ``core`` or ``service``: whoever calls the server knows no more of it than this.
"""
