"""A bundle on a device: what it needs is sent, once; each variant proves itself and is measured there."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.benchmarks.record.measurement import Check, Measurement, Plan
from edgewright.benchmarks.targets import Say, Target
from edgewright.benchmarks.targets.ssh import packing, told
from edgewright.benchmarks.targets.ssh.line import Line, plain
from edgewright.runtime import backends, trust
from edgewright.runtime.bundle.manifest import MANIFEST, Bundle
from edgewright.runtime.disk import outside
from edgewright.runtime.errors import BundleError, EdgewrightError, TargetError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgewright.runtime.backends import Backend

_GUEST = Path(__file__).with_name("guest.py")
_BUNDLE, _PROGRAM, _IMAGES = "bundle", "guest.py", "images.npy"
_TRIAL = "import {modules}"
_START_SECONDS = 600.0  # of a slow device on which interpreters have to be read from a card
_ROOM = 4  # times what is sent: unpacked, it is larger


class Device(Target):
    """`run` measures over a line that is open; `prepare` comes first."""

    title = summary = ""
    repeats = True

    def __init__(self, line: Line, bundle: Bundle, variants: Sequence[str], say: Say) -> None:
        self._line, self._bundle, self._variants, self._say = line, bundle, tuple(variants), say
        obj, _ = line.ask("looking around", {"do": "look"}, seconds=_START_SECONDS)
        self.what = told.device(obj, line.at)
        self._checks: dict[str, tuple[Check, dict[str, list[float]], list[str]]] = {}

    def prepare(self, images: NDArray[np.uint8] | None) -> None:
        """Send what is not there yet, make the environment, lay out the run folder.

        Raises:
            MissingExtraError: an interpreter is not installed here, so nobody knows the version to take.
            TargetError: wheels cannot be fetched, or the device cannot run them.
        """
        every = {backend.package: backend for backend in map(self._backend, self._variants)}
        kinds = [every[package] for package in sorted(every)]
        packages = {**dict.fromkeys(packing.ALWAYS, "bench"), **{kind.package: kind.extra for kind in kinds}}
        wanted = packing.versions(packages)
        what, at = self.what, self._line.at
        self._say(f"wheels for {what.machine} and Python {what.python}: {', '.join(wanted)}")
        name, wheel = packing.own()
        archives: dict[str, bytes | Path] = {
            name: wheel,
            **packing.fetched(wanted, what.machine, what.python, what.glibc),
        }
        needed = {**archives, **self._files(), _PROGRAM: _GUEST}
        if images is not None:
            needed[_IMAGES] = _npy(images)
        hashes = {name: packing.sha256(_bytes(content)) for name, content in needed.items()}
        self._hashes = hashes
        environment = packing.sha256("".join(hashes[name] for name in archives).encode())[:16]
        asked = list(dict.fromkeys(hashes.values()))
        obj, _ = self._line.ask("looking for files", {"do": "have", "sha256": asked, "venv": environment})
        lacking = set(told.lacking(obj, asked))
        made = obj.flag("venv")
        if made:  # what it was made of need not be there any more
            lacking -= {hashes[name] for name in archives}
        self._send({name: content for name, content in needed.items() if hashes[name] in lacking})
        if not made:
            modules = ", ".join(
                sorted({kind.module for kind in kinds} | {"edgewright.benchmarks.targets.local", "PIL"})
            )
            obj, _ = self._line.ask(
                "setting up the environment",
                {
                    "do": "make",
                    "archives": [hashes[name] for name in archives],
                    "trial": _TRIAL.format(modules=modules),
                },
            )
            if obj.integer("status", -1024, 1024) != 0:
                why = plain(obj.text("said")) or f"it ended with status {obj.integer('status', -1024)}"
                raise TargetError(f"the interpreters cannot be imported on {at}: {why}")
        laid = {name: hashes[name] for name in needed if name not in archives}
        self._line.ask("laying out files", {"do": "lay", "files": laid})

    def prove(self, images: NDArray[np.uint8] | None, classes: NDArray[np.int64] | None) -> None:
        """Run the golden images, and others if there are any, through each variant; judge the scores here.
        Raises `TargetError`."""
        for name in self._variants:
            self._checks[name] = self._proof(name, images, classes)

    def run(self, bundle: Bundle, variant: str, plan: Plan, say: Say = lambda line: None) -> Measurement:
        doing = f"measuring {variant}"
        planned = plan.seconds + plan.warmup_seconds + 2 * plan.end_to_end_seconds + plan.throughput_seconds
        given = dataclasses.asdict(dataclasses.replace(plan, processes=1, options={}))
        answer, raw = self._start(doing, variant, {"plan": given}, _START_SECONDS + 20 * planned)
        found = told.measurement(
            told.output(answer, raw, doing, self._line.at), answer, self._line.at, variant, plan
        )
        check, counts, notes = self._checks[variant]
        return dataclasses.replace(
            found,
            environment=told.named(found.environment, self.what, self._line.at, _boot()),
            check=check,
            counts={**found.counts, **counts},
            notes=[*found.notes, *notes],
        )

    def _proof(
        self, variant: str, images: NDArray[np.uint8] | None, classes: NDArray[np.int64] | None
    ) -> tuple[Check, dict[str, list[float]], list[str]]:
        import numpy as np

        from edgewright.benchmarks.targets import _golden
        from edgewright.runtime.verification import read_golden

        doing, at = f"checking {variant}", self._line.at
        expected = read_golden(self._bundle)[variant]
        tested = 0 if images is None else len(images)
        answer, raw = self._start(doing, variant, {"images": None if images is None else _IMAGES}, 6 * 3600.0)
        kernels, scores = told.scores(
            told.output(answer, raw, doing, at), at, len(expected) + tested, expected.shape[1]
        )
        entry = self._bundle.variant(variant)
        check, reason = _golden.held(self._bundle.manifest, entry, kernels, scores[: len(expected)], expected)
        notes = [f"{variant} does not give what was recorded on {at}: {reason}"] if reason else []
        counts = {}
        if classes is not None:
            best = _golden.head_of(self._bundle.manifest).decisions(scores[len(expected) :])
            counts["accuracy"] = [float(np.mean(best == classes))]
        return check, counts, notes

    def _start(self, doing: str, variant: str, job: Mapping[str, Any], seconds: float) -> tuple[Any, bytes]:
        backend = self._backend(variant)
        vouched = trust.opens_here(self._bundle.variant(variant).file.sha256, backend)
        words = [_PROGRAM, json.dumps({"bundle": _BUNDLE, "variant": variant, "vouched": vouched, **job})]
        told_ = {"do": "run", "words": words, "seconds": seconds, "most": told.MOST_BYTES}
        return self._line.ask(doing, told_, seconds=seconds + 60, most=told.MOST_BYTES)

    def _backend(self, variant: str) -> Backend:
        return backends.for_path(self._file(variant))

    def _file(self, variant: str) -> Path:
        return self._bundle.folder / self._bundle.variant(variant).file.file

    def _files(self) -> dict[str, bytes]:
        """What the device needs of the bundle: the manifest, golden images, the files that it measures."""
        from edgewright.runtime.foreign import huggingface

        entries = [
            self._bundle.manifest.golden,
            *(self._bundle.variant(name).file for name in self._variants),
        ]
        found = {entry.file: self._bundle.read(entry)[1] for entry in entries}
        beside = {path for name in self._variants for path in huggingface.beside(self._file(name))}
        for path in (self._bundle.folder / MANIFEST, *beside):
            found[path.name] = outside.read(path, BundleError, told.MOST_BYTES)
        return {f"{_BUNDLE}/{name}": raw for name, raw in found.items()}

    def _send(self, lacking: Mapping[str, bytes | Path]) -> None:
        at, size = self._line.at, sum(map(_size, lacking.values()))
        if size * _ROOM > self.what.free_bytes:
            raise TargetError(
                f"expected {size * _ROOM / 1e6:,.0f} MB of free disk on {at}, got "
                f"{self.what.free_bytes / 1e6:,.0f}; make room there"
            )
        if lacking:
            self._say(f"sending {len(lacking)} files to {at}, {size / 1e6:,.1f} MB")
        for name, content in lacking.items():
            raw = _bytes(content)
            self._line.ask(f"sending {name}", {"do": "put", "sha256": self._hashes[name]}, raw)


def _npy(images: NDArray[np.uint8]) -> bytes:
    import numpy as np

    memory = io.BytesIO()
    np.save(memory, images)
    return memory.getvalue()


def _bytes(content: bytes | Path) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()


def _size(content: bytes | Path) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _boot() -> str:
    """What tells this start of this machine from all others; empty where nothing does."""
    try:
        return outside.read("/proc/sys/kernel/random/boot_id", EdgewrightError, 100).decode().strip()
    except EdgewrightError:
        return ""
