"""Makes what the service ships with: the countries graph and the policies that are trained for a graph.

Apart from the service: nothing in ``core`` or ``service`` imports it.
"""
