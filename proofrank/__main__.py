"""``python -m proofrank``: the command line."""

import sys

from proofrank.service.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
