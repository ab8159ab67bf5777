"""The service around the evaluator: HTTP, jobs, policies, metrics, settings, the client and the command line.

Imports go one way, from the later to the earlier of these folders and files; ``core`` stands before all of them::

    wire
    errors, threads, terminal
    client, settings, storage, scheduler
    ranking, telemetry
    engine, web
    policies
    jobs
    bulk, services
    page, routes
    app
    on_ray
    cli
"""
