"""With how many seeds a model was exported and judged on the same test images.

Each seed draws other calibration images and makes other files: whoever goes on until one passes has given a
file beyond its limit as many chances. They are counted in the user's cache folder, so that an export to
another place knows of them, and said in the manifest.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from edgewright.runtime.disk import files, jsonio
from edgewright.runtime.errors import EdgewrightError, InputError

_MOST = 1000


def count(model_sha256: str, test_sha256: str, seed: int) -> int:
    """How many seeds there were, this one among them; it is remembered where that can be kept."""
    name = hashlib.sha256(f"{model_sha256} {test_sha256}".encode()).hexdigest()
    path = files.cache_folder() / "seeds" / f"{name}.json"
    seen: list[int] = []
    with contextlib.suppress(OSError, EdgewrightError):
        seen = _seen(path)
        if seed not in seen:
            seen = [*seen, seed][-_MOST:]
            files.write_file(path, jsonio.dump({"seeds": seen}))
    return len({*seen, seed})


def _seen(path: Path) -> list[int]:
    return list(jsonio.read(path, InputError).integers("seeds")) if path.exists() else []
