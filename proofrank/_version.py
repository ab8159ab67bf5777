"""The version of the package: the only place in which it stands."""

__version__ = "0.2.0"
