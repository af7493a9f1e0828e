"""What every page of ours is made of: engines from npm (`assets.py`), and our own JavaScript."""

from __future__ import annotations

from pathlib import Path


def scripts() -> dict[str, bytes]:
    """Our own modules, by the name under which they import each other."""
    return {path.name: path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.js"))}
