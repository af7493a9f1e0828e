"""Runs a command of the product, and says beside what it makes which code has made that.

    python -m edgewright.benchmarks.figures.pedigree.made KIND OUT [--of FILE…] -- COMMAND…
    python -m edgewright.benchmarks.figures.pedigree.made KIND OUT… --commit REVISION

KIND is `export`, `train:RECIPE` or `bench:TARGET`, OUT the bundle, checkpoint or record that the command
writes. `OUT.made` then holds the SHA-256 of its manifest, `checkpoint.json` or record, the `code`, the
command, and the SHA-256 of the files that it is made of. What the same command has made of the same files by
the same code is not made again. `publish` takes nothing without it. An export that leaves a variant out ends
with 1: that counts as made if it wrote the bundle, and not if the bundle there is an older one.

The second form is for what was made without: whoever asks for it vouches that the commit's code did.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgewright.benchmarks.figures import script
from edgewright.benchmarks.figures.pedigree import code, kinds
from edgewright.runtime import console
from edgewright.runtime.disk import files, jsonio
from edgewright.runtime.errors import EdgewrightError, InputError

_FILES = {"train": "checkpoint.json", "export": "manifest.json", "bench": ""}
_KEYS = {"train": "recipe", "bench": "target"}
_LEFT_OUT = 1  # the status of an export whose gate has refused a variant


def stamp_of(out: Path) -> Path:
    return out.with_name(f"{out.name}.made")


def artifact(kind: str, out: Path) -> Path:
    """The file that stands for all of what was made."""
    return out / _FILES[kind] if _FILES[kind] else out


def check(kind: str, out: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """See that rows that are read from `out` were made by today's code.

    Raises:
        InputError: they were not, or nobody knows; with the command that makes them again.
    """
    parts = {kinds.part(kind, row).name: kinds.part(kind, row) for row in rows}
    told: Mapping[str, Any] = {}
    try:
        stamp = jsonio.read(stamp_of(out), InputError)
        if stamp.text("sha256") == files.sha256_of(artifact(kind, out)):
            told = stamp.object("codes").data
    except InputError:
        pass  # there is none that can be read
    for part, now in code.today(parts.values()).items():
        if part.name not in told:
            raise InputError(
                f"expected {stamp_of(out)} to say which code made it, got none that does; {part.command} "
                f"makes {out} again, or --commit of figures.pedigree.made says so"
            )
        if told[part.name] != now:
            raise InputError(
                f"expected {out} as the code of today makes it ({now}), got it made by {told[part.name]}; "
                f"{part.command} makes it again"
            )


def part_of(word: str) -> tuple[str, code.Part]:
    """`export`, `train:mnist-cnn` or `bench:local` as a kind of results and their part.

    Raises:
        InputError: anything else.
    """
    kind, _, name = word.partition(":")
    if kind not in _FILES or bool(name) != (kind in _KEYS):
        raise InputError(f"expected export, train:RECIPE or bench:TARGET, got {word}")
    return kind, kinds.part(kind, {_KEYS.get(kind, ""): name})


def stamp(word: str, out: Path, by: str, command: Sequence[str] = (), of: Sequence[Path] = ()) -> None:
    """Write which code made `out`."""
    kind, part = part_of(word)
    told = {
        "schema_version": 1,
        "sha256": files.sha256_of(artifact(kind, out)),
        "codes": {part.name: by},
        "command": _asked(command),
        "of": [files.sha256_of(path) for path in of],
    }
    files.write_file(stamp_of(out), jsonio.dump(told))


def is_made(word: str, out: Path, command: Sequence[str], of: Sequence[Path]) -> bool:
    """Whether this command has made `out` of these files by the code of today."""
    kind, part = part_of(word)
    try:
        told = jsonio.read(stamp_of(out), InputError)
        return (
            _is_current(kind, part, out)
            and told.array("command") in ([], _asked(command))
            and (not told.array("of") or told.array("of") == [files.sha256_of(path) for path in of])
        )
    except EdgewrightError:
        return False


def _is_current(kind: str, part: code.Part, out: Path) -> bool:
    """Whether all of what is there was made by the code of today. Raises `EdgewrightError`: nothing says."""
    told = jsonio.read(stamp_of(out), InputError)
    is_it = told.text("sha256") == files.sha256_of(artifact(kind, out))
    return is_it and told.object("codes").data.get(part.name) == code.now(part)


def _asked(command: Sequence[str]) -> list[str]:
    """What a command asks for: not by which installation, nor what it does with what is there."""
    return [word for word in command[1:] if word not in ("--resume", "--overwrite")]


def run(word: str, out: Path, command: Sequence[str], of: Sequence[Path]) -> int:
    """Run the command unless what it makes is there; its status, 0 if it made that.

    Raises:
        InputError: it ended well and wrote nothing, or the code changed meanwhile; or it goes on with what
            other code began, or adds to a record that other code made.
    """
    kind, part = part_of(word)
    target, begun = artifact(kind, out), out.with_name(f"{out.name}.begun")
    if is_made(word, out, command, of):
        os.utime(target)
        console.say(f"{out} is made by the code of today")
        return 0
    today = code.now(part)
    if "--resume" in command and (not begun.exists() or begun.read_text("utf-8") != today):
        raise InputError(
            f"expected to go on with what the code of today began, got other code's; remove {out.parent}/."
            f"{out.name}.training, and it begins anew"
        )
    if kind == "bench" and target.exists():  # it adds up what is measured
        try:
            is_ours = _is_current(kind, part, out)
        except EdgewrightError:
            is_ours = False
        if not is_ours:
            raise InputError(f"expected no record or one by the code of today, got {out}; remove it")
    before = _identity(target)
    out.parent.mkdir(parents=True, exist_ok=True)
    files.write_file(begun, today.encode())
    status = subprocess.run(command, check=False).returncode
    is_new = _identity(target) not in (None, before)
    if status and not (kind == "export" and status == _LEFT_OUT and is_new):
        return status
    if not is_new:
        raise InputError(f"expected the command to write {target}, got none new; run it to see why")
    if code.now(part) != today:
        raise InputError(f"the code changed while {out} was made; run it again")
    stamp(word, out, today, command, of)
    begun.unlink()
    return 0


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_ino, told.st_mtime_ns


@contextlib.contextmanager
def tree_of(revision: str) -> Any:
    """The sources of a commit. Raises `InputError`: git does not know it."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, "tree.tar")
        words = ["git", "-C", str(code.ROOT), "archive", "--output", str(archive), revision]
        done = subprocess.run(words, capture_output=True, encoding="utf-8", check=False)
        if done.returncode:
            raise InputError(f"expected a commit of {code.ROOT}, got {revision}: {done.stderr.strip()}")
        subprocess.run(["tar", "-xf", str(archive), "-C", folder], check=True)
        yield code.Tree(Path(folder))


def main(words: list[str]) -> int:
    words, command = (
        (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    )
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kind")
    parser.add_argument("out", type=Path, nargs="+")
    parser.add_argument("--of", type=Path, nargs="*", default=[])
    parser.add_argument("--commit")
    arguments = parser.parse_args(words)
    if bool(command) == bool(arguments.commit) or (command and len(arguments.out) > 1):
        raise InputError("expected one OUT and -- COMMAND, or --commit REVISION")
    if command:
        return run(arguments.kind, arguments.out[0], command, arguments.of)
    with tree_of(arguments.commit) as tree:
        for out in arguments.out:
            stamp(arguments.kind, out, tree.code(part_of(arguments.kind)[1]))
            console.say(f"{out}: made by the code of {arguments.commit}")
    return 0


if __name__ == "__main__":
    script.run(main)
