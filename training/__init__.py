"""Makes the countries graph and the policy of the package, and trains policies for other graphs.

Nothing in ``core`` or ``service`` imports this package.
"""
