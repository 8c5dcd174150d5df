"""Run the command line as `python -m flowdapt`."""

from __future__ import annotations

import sys

from flowdapt.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
