"""Benchmark programs: every figure in ``docs/benchmarks.md`` names the program that made it.

They need only ``core`` (torch, numpy, safetensors), so they also run where the service is not installed.
"""
