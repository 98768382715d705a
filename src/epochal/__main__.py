"""`python -m epochal` is the command line."""

import sys

from epochal.cli import main

sys.exit(main())
