"""Benchmark programs: every figure in ``docs/benchmarks.md`` names the one that made it.

They need ``core`` alone (torch, numpy, safetensors), so that they also run where the service is not installed.
"""
