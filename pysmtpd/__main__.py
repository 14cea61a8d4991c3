"""`python -m pysmtpd`: the command `pysmtpd` without installing it."""

import sys

from pysmtpd.cli import main

if __name__ == "__main__":
    sys.exit(main())
