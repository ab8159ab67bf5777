"""Load on a running server, over HTTP: locust users, a summary with an objective, and measurements at saturation.

Nothing here imports ``core`` or ``service``: it knows as much of the server as any client.
"""
