"""A short way to the client of the service, ``from proofrank.client import Client``; needs no torch."""

from proofrank.service.client import *  # noqa: F403 - the same names, from where they are made
from proofrank.service.client import __all__ as __all__
