"""Writing a folder for users to go on with: `--overwrite` replaces what we wrote, never what they changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgewright.runtime.disk import files, jsonio, outside
from edgewright.runtime.disk.files import sha256_of
from edgewright.runtime.errors import OutputError

RECORD = "edgewright-app.json"  # which files are ours, by their SHA-256
_MOST_BYTES = 2**22  # of that record


def check(out: Path, *, overwrite: bool) -> tuple[str, ...]:
    """See that `write` can write at `out`, before any work is done for it. Returns what of it is ours.

    Raises:
        OutputError: the path is taken; with `overwrite` by what we did not write, or what was changed since.
    """
    ours = _ours(out) if overwrite and out.is_dir() else ()
    files.check_output(out, overwrite=overwrite, ours=ours)
    return ours


def write(out: Path, made: Mapping[str, bytes], of: Mapping[str, Any], *, overwrite: bool) -> None:
    """Write files, by their paths below `out` with slashes, aside and exchange the folder for them.

    Args:
        of: what they were made of, for the record beside them.

    Raises:
        OutputError: as `check`.
    """
    record = {**of, "files": {name: hashlib.sha256(raw).hexdigest() for name, raw in sorted(made.items())}}
    ours = check(out, overwrite=overwrite)
    with files.new_folder(out, overwrite=overwrite, ours=ours) as (new, _):
        for name, raw in sorted({**made, RECORD: jsonio.dump(record)}.items()):
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_bytes(raw)


def _ours(out: Path) -> tuple[str, ...]:
    """Patterns of what lies in `out` by our own record; all of it is as we wrote it."""
    if not any(out.iterdir()):
        return ()
    record = out / RECORD
    if not record.is_file():
        raise OutputError(
            f"expected {out} to be a folder that this command wrote, got one without {RECORD}; "
            "choose another --out"
        )
    obj = jsonio.parse(outside.read(record, OutputError, _MOST_BYTES), str(record), OutputError)
    known = obj.object("files").data
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if name == RECORD or (path.is_dir() and not path.is_symlink()):
            continue
        if path.is_symlink() or not path.is_file() or known.get(name) != sha256_of(path):
            raise OutputError(
                f"{out} holds '{name}', which was changed or added since it was written and --overwrite "
                "would lose; move it away or choose another --out"
            )
    tops = {name.partition("/")[0] + ("/" if "/" in name else "") for name in known}
    return (RECORD, *sorted(files.escape(top) for top in tops))
