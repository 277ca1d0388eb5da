"""`python -m netaug` is the command line."""

import os
import sys

# Python puts the working directory first on the import path of `-m`, as for the processes that torchrun starts. What
# lies in it must not stand in for a module of the standard library, or for a package that is not installed.
if not sys.flags.safe_path and sys.path and sys.path[0] in ("", os.getcwd()):
    del sys.path[0]

from netaug.cli import main

sys.exit(main())
