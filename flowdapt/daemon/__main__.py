"""Be the daemon, without the command line before it: `python -m flowdapt.daemon`."""

from __future__ import annotations

import sys

from flowdapt.daemon import main

if __name__ == "__main__":
    sys.exit(main())
