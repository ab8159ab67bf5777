"""A discrete-event model of bulk evaluation on many workers, and the measurements that it uses.

``work`` has the time of queries, ``shards`` cuts them, ``cluster`` has the costs around their evaluation (start,
driver, losses), ``model`` plays a run event by event, and ``account`` divides the workers' time. The program is
``benchmarks/ray_simulation.py``.
"""
