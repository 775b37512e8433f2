"""`python -m repro`: the command `repro`."""

import sys

from repro.cli.main import main

sys.exit(main())
