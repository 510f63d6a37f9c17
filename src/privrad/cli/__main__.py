"""`python -m privrad.cli`, the same as `privrad`."""

import sys

from privrad.cli import main

sys.exit(main())
