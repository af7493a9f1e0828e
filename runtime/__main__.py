"""`python -m edgewright.runtime predict …` on devices where no console script was installed."""

from edgewright.runtime.cli import program

program()
