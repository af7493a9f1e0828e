"""`python -m edgewright.runtime predict …` on devices where no console script was installed."""

import sys

from edgewright.runtime.cli import main

sys.exit(main())
