"""How many pools a file was judged on: each further look has to be judged more strictly.

Looks are counted by the model, the variant and the settings it was converted with, in the user's cache
folder, so that another export, to another place, knows of them. A look is a pool: judging the same one with
more labels is none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgewright.runtime.disk import files, jsonio
from edgewright.runtime.errors import InputError

_MOST = 40  # beyond, nothing passes any more


def look(model_sha256: str, variant: str, settings: Mapping[str, Any], digest: str) -> int:
    """Which look at such a file the pool of SHA-256 `digest` is, from 1."""
    seen = _seen(_path(model_sha256, variant, settings))
    return seen.index(digest) + 1 if digest in seen else min(len(seen) + 1, _MOST)


def remember(model_sha256: str, variant: str, settings: Mapping[str, Any], digest: str) -> None:
    """Count the pool, if it is none that was counted. Raises `OSError`: it cannot be kept."""
    path = _path(model_sha256, variant, settings)
    seen = _seen(path)
    if digest not in seen:
        files.write_file(path, jsonio.dump({"looks": [*seen, digest][:_MOST]}))


def _path(model_sha256: str, variant: str, settings: Mapping[str, Any]) -> Path:
    asked = json.dumps([model_sha256, variant, dict(settings)], sort_keys=True)
    return files.cache_folder() / "looks" / f"{hashlib.sha256(asked.encode()).hexdigest()}.json"


def _seen(path: Path) -> list[str]:
    if not path.exists():
        return []
    return list(jsonio.read(path, InputError).texts("looks"))
