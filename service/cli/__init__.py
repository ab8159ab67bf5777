"""The commands of ``proofrank``, one module each with ``set_up`` for its options, and ``run``."""
