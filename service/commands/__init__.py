"""The commands of ``proofrank``, one module each with ``add_parser`` and ``run``."""
