"""Several variants, one claim: how surely all files of a bundle keep their limits.

Each file is judged alone by default: one at its limit passes once in forty, which is what whoever ships that
file wants to know. Of six such ones in a bundle, one or more passes in up to one of seven. Holm's procedure
(A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 1979, 65-70)
keeps the chance that any file that passes is beyond a limit at one in forty, whatever the files share.
"""

from __future__ import annotations

from collections.abc import Mapping

LEVEL = 0.025


def holding(chances: Mapping[str, float], asked: int) -> frozenset[str]:
    """The variants that keep their limits together.

    Args:
        chances: of each judged variant, how often a file at a limit would pass as clearly
            (`ParityReport.chance`).
        asked: of how many variants one was to pass; no fewer than were judged.
    """
    found: set[str] = set()
    for name in sorted(chances, key=lambda name: chances[name]):
        if chances[name] > LEVEL / (asked - len(found)):
            break
        found.add(name)
    return frozenset(found)


def allowed(chances: Mapping[str, float], asked: int) -> float:
    """What chance the clearest variant that does not hold would have needed; if all hold, `LEVEL`."""
    return LEVEL / max(asked - len(holding(chances, asked)), 1)
