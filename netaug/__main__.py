"""`python -m netaug` is the command line."""

import sys

from netaug.cli import main

sys.exit(main())
