"""The stages of ``python -m benchmarks.gpu``, a module each: what each measures stands at its top.

A stage is a function of a :class:`benchmarks.device.bench.Bench` (what to measure with) and a
:class:`benchmarks.device.record.Record` (where rows go). It needs ``core`` alone, and runs on a CPU too.
"""
