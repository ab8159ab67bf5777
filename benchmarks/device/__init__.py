"""The stages of ``python -m benchmarks.gpu``, one module each; each begins with what it measures.

A stage is a function of a :class:`benchmarks.device.bench.Bench` (the tools) and a
:class:`benchmarks.device.record.Record` (the place for its rows). It needs only ``core``, and also runs on a CPU.
"""
