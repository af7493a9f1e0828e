"""The page as a folder for any HTTPS host, and what comes back from it: a file that is read as anything from
outside.

No server of ours hears such a page: whoever opened it takes its results along. They are believed as little as
what is posted, and belong to the files whose hashes they carry.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.apps.web import assets
from edgewright.benchmarks.record.measurement import MODES, PROCESSES, Plan
from edgewright.benchmarks.targets.browser import posted, server
from edgewright.benchmarks.targets.browser.answers import text
from edgewright.runtime.disk import files, jsonio, outside
from edgewright.runtime.errors import OutputError, TargetError

if TYPE_CHECKING:
    from edgewright.benchmarks.targets.browser.posted import Results
    from edgewright.benchmarks.targets.browser.work import Work
    from edgewright.runtime.bundle.manifest import Bundle

_HEADERS = "_headers"  # what some hosts take the headers of a site from
_INLINE = re.compile(rb"<script type=\"importmap\" nonce=\"[^\"]*\">(.*?)</script>", re.DOTALL)
_CHARSET = b'<meta charset="utf-8">'


def write(folder: Path, pages: Mapping[str, bytes], engines: Mapping[str, Path], work: Work) -> int:
    """Write the page, its engines and the files to measure; gives how many bytes that are.

    Raises:
        OutputError: something is there, or cannot be written.
    """
    with files.new_folder(folder, overwrite=False, ours=("*",)) as (new, _):
        for name, raw in pages.items():
            content = _guarded(raw) if name.endswith(".html") else raw
            (new / ("index.html" if name == "page.html" else name)).write_bytes(content)
        for name, found in (*engines.items(), *work.files.items()):
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            if isinstance(found, bytes):
                (new / name).write_bytes(found)
            else:
                shutil.copyfile(found, new / name)
        lines = [f"  {name}: {value}" for name, value in server.ISOLATED.items()]
        (new / _HEADERS).write_text("\n".join(("/*", *lines, "")))
        return sum(file.stat().st_size for file in new.rglob("*") if file.is_file())


def check_free(folder: Path) -> None:
    """Raises `OutputError`: something is there, or it cannot be written."""
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"expected {folder} to be empty or free, got a folder with files; name another one")
    files.check_output(folder, overwrite=False, ours=("*",))


def told(
    bundle: Bundle, variants: Sequence[str], plans: Sequence[Plan], versions: Mapping[str, str]
) -> dict[str, Any]:
    """What such a page is told besides: how its results are read, and what they have to carry."""
    first = plans[0]
    runs = {name: mode.plan(1, {}).runs for name, mode in MODES.items()}
    words = [
        "edgewright",
        "bench",
        "BUNDLE",
        "--target",
        "browser",
    ]  # not where it lies here: anyone may read it
    if (threads := ",".join(str(plan.threads) for plan in plans)) != "1":
        words += ["--threads", threads]
    mode = next((name for name in MODES if runs[name] == first.runs), "")
    if mode and mode != next(iter(MODES)):
        words += ["--mode", mode]
    if not mode or first.seconds != MODES[mode].plan(1, {}).seconds:
        words += ["--seconds", f"{first.seconds * PROCESSES:g}"]
    sums = {name: bundle.variant(name).file.sha256 for name in variants}
    return {"take": " ".join([*words, "--results", "FILE.json"]), "files": sums, "versions": dict(versions)}


def read(path: Path, work: Work, environment: Mapping[str, Any]) -> Results:
    """What a page that `write` wrote gave to take along.

    Raises:
        TargetError: it cannot be read, is of other files or another plan, or not as it should be.
    """
    raw = outside.read(path, TargetError, server.MOST_POSTED)
    obj = jsonio.parse(raw, str(path), TargetError)
    sums = obj.object("files")
    asked = [entry for entry in work.variants if sums.has(entry.name)]
    for entry in asked:
        if sums.text(entry.name) != entry.file.sha256:
            raise sums.fail(entry.name, f"the SHA-256 of {entry.file.file}: it was another file then")
    if not asked:
        raise sums.fail(work.variants[0].name, "a file of this bundle")
    if [_amount(plan) for plan in obj.objects("plans")] != [
        (plan.threads, plan.processes, plan.runs, round(plan.seconds, 6)) for plan in work.plans
    ]:
        raise obj.fail(
            "plans", "those of the same --threads, --mode and --seconds as the page was written with"
        )
    known = obj.object("versions")
    versions = {one.name: text(known, one.name)[:40] for one in assets.PACKAGES}
    return posted.results(raw, dataclasses.replace(work, variants=asked), environment, versions, here=False)


def _amount(plan: jsonio.JsonObject) -> tuple[int, int, int, float]:
    """How much was measured."""
    threads, processes, runs = (plan.integer(name, 1) for name in ("threads", "processes", "runs"))
    return threads, processes, runs, round(plan.number("seconds"), 6)


def _guarded(page: bytes) -> bytes:
    """A page that says itself what it may do, as its host will not: inline parts are named by their hash."""
    inline = [base64.b64encode(hashlib.sha256(part).digest()).decode() for part in _INLINE.findall(page)]
    policy = server.POLICY.replace("{inline}", " ".join(f"'sha256-{digest}'" for digest in inline))
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'.encode()
    plain = _INLINE.sub(rb'<script type="importmap">\1</script>', page)
    return plain.replace(_CHARSET, _CHARSET + b"\n" + meta, 1)
