"""A discrete-event model of bulk evaluation on many workers, and the measurements that it starts from.

``work`` says how long queries take, ``shards`` cuts them, ``cluster`` says what surrounds their evaluation (start,
driver, losses), ``model`` plays a run event by event, ``account`` says where the workers' time went. The program is
``benchmarks/ray_simulation.py``.
"""
