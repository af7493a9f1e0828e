"""The steps of an export - look into the model, convert, score - each done once.

What an earlier export made from the same model, images, options and versions comes from the cache: a
killed export goes on where it was, and TensorFlow is started only where something is missing.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.export.network.model import Facts, FileInterface, Model
from edgewright.export.repair.task import Repair
from edgewright.export.variants import Variant
from edgewright.export.work.cache import Cache
from edgewright.export.work.events import Converted, Event, Failed, ModelLoaded, ReferenceScored
from edgewright.export.work.protocol import REFERENCE, Child, ProcessEndedError
from edgewright.export.work.score import FAST, Scored, Scorer
from edgewright.runtime.contract import ModelContract
from edgewright.runtime.disk import files, jsonio
from edgewright.runtime.errors import ExportError
from edgewright.train.datasets import Images, digest
from edgewright.train.stack import versions

_FACTS, _CONVERSION, _SPECS, _SCORES = "facts.json", "conversion.json", "specs.json", "scores.npy"
_NEEDLESS = "needless.json"
_CONVERTERS = ("tensorflow", "keras", "tf2onnx", "onnx", "onnxslim", "onnxruntime", "ai-edge-quantizer")
_INTERPRETERS = ("ai-edge-litert", "onnxruntime")


class Steps(ExitStack):
    """The steps of one export, for files of one `interface`. Close it, or use it in `with`."""

    def __init__(self, interface: FileInterface) -> None:
        super().__init__()
        self._interface, self._cache = interface, Cache()
        self._child: Child | None = None
        self._refused: dict[str, str] = {}  # formats that cannot hold the model, with the reason

    def load(self, model: Model, formats: Sequence[str] = ()) -> Facts:
        """What the model turned out to be; which of `formats` cannot hold it is remembered for `convert`.

        Raises:
            ExportError: it cannot be exported, or in none of `formats`, with the layer that
                stands in the way.
        """
        parts = {**self._parts("load", model), "formats": list(formats)}
        if entry := self._cache.find(parts):
            kept = jsonio.read(entry / _FACTS, ExportError)
            self._refused = dict(kept.object("refused").data)
            return Facts.from_json(kept.object("facts"))
        died: dict[str, str] = {}
        while True:
            try:
                loaded = self._open(model, [name for name in formats if name not in died])
            except ProcessEndedError as death:
                if death.of not in formats:
                    raise
                died[death.of] = str(death)
            else:
                break
        self._refused = {**loaded.refused, **died}
        if formats and not {*formats} - {*self._refused}:
            reasons = "; ".join(
                f"{name} files cannot hold this network, {why}" for name, why in self._refused.items()
            )
            raise ExportError(f"{reasons}; change it, or name variants of another format with --variants")
        if not died:  # it may have been for want of memory
            with self._cache.add(parts) as folder:
                told = {"facts": loaded.facts.to_json(), "refused": self._refused}
                (folder / _FACTS).write_bytes(jsonio.dump(told))
        return loaded.facts

    def convert(
        self,
        folder: Path,
        model: Model,
        variants: Sequence[Variant],
        contracts: Mapping[str, ModelContract],
        calibration: Images,
        test: str,
        fine_tuned: Mapping[str, Model],
        repair: Repair | None = None,
    ) -> Generator[Event]:
        """Put the variants' files and the model's own scores into `folder`, and say so one by one.

        A process that ends while it is at work on a variant costs that one: another goes on with the rest.

        Args:
            folder: holds the test images, see `Child.convert`.
            model: as it was loaded.
            variants, contracts: what to convert to, and what each file is to say of itself, by name.
            calibration: uint8 `(n, height, width, channels)`.
            test: SHA-256 of the test images.
            fine_tuned: models that passes made, by `Variant.chain`.
            repair: as `Child.convert`.

        Raises:
            ExportError: as `Child.convert`.
        """
        shown, made_from = digest(calibration), {}
        mended = repair.key() if repair else {}
        for variant in variants:
            converted = fine_tuned[variant.chain] if variant.passes else model
            parts = {**self._parts("convert", converted), "contract": contracts[variant.name].to_json()}
            made_from[variant.name] = parts | {
                "images": shown if variant.settings.calibrated else "",
                "repair": mended if variant.repairable else {},
            }
        of_reference = {**self._parts("reference", model), "images": test}
        kept_reference = self._cache.find(of_reference)
        if kept_reference:
            shutil.copyfile(kept_reference / REFERENCE, folder / REFERENCE)
        missing: dict[str, Variant] = {}
        for variant in variants:
            if not variant.passes and variant.format in self._refused:
                reason = f"cannot be converted: {self._refused[variant.format]}"
                yield Failed(variant=variant.name, reason=reason)
                continue
            entry = self._cache.find(made_from[variant.name])
            if entry is None:
                missing[variant.name] = variant
                continue
            if (entry / _NEEDLESS).exists():
                reason = jsonio.read(entry / _NEEDLESS, ExportError).text("reason")
                yield Failed(variant=variant.name, reason=reason, needless=True)
                continue
            shutil.copyfile(entry / variant.file, folder / variant.file)
            conversion = jsonio.read(entry / _CONVERSION, ExportError).data
            yield Converted(variant=variant.name, conversion=conversion)
        has_reference = kept_reference is not None
        while missing or not has_reference:
            events = self._converting(model).convert(
                folder,
                {name: contracts[name] for name in missing},
                calibration,
                reference=not has_reference,
                fine_tuned=fine_tuned,
                repair=repair,
            )
            try:
                for event in events:
                    if isinstance(event, ReferenceScored):
                        has_reference = True
                        with self._cache.add(of_reference) as kept:
                            shutil.copyfile(folder / REFERENCE, kept / REFERENCE)
                    elif isinstance(event, Converted):
                        file = missing.pop(event.variant).file
                        with self._cache.add(made_from[event.variant]) as kept:
                            shutil.copyfile(folder / file, kept / file)
                            (kept / _CONVERSION).write_bytes(jsonio.dump(dict(event.conversion)))
                    elif isinstance(event, Failed):
                        del missing[event.variant]
                        if event.needless:
                            with self._cache.add(made_from[event.variant]) as kept:
                                (kept / _NEEDLESS).write_bytes(jsonio.dump({"reason": event.reason}))
                    yield event
            except ProcessEndedError as death:
                if death.of not in missing:
                    raise
                (folder / missing.pop(death.of).file).unlink(missing_ok=True)
                lost = Failed(variant=death.of, reason=f"cannot be converted: {death}")
            else:
                return
            yield lost

    def score(
        self, workers: Scorer, file: Path, test: str, places: NDArray[np.intp], how: str = FAST
    ) -> Callable[[], Scored]:
        """Have `file` scored on the images at `places` of those whose SHA-256 is `test`; `how` is as in
        `Scorer.submit`.

        Returns:
            What waits for the scores; it raises as what `Scorer.submit` gives.
        """
        parts = {
            "step": "score",
            "file": files.sha256_of(file),
            "images": test,
            "places": digest(places),
            "how": how,
            "machine": _machine(),
            "versions": versions("edgewright", "numpy", *_INTERPRETERS),
        }
        if entry := self._cache.find(parts):
            return lambda: Scored.of(
                np.load(entry / _SCORES, allow_pickle=False), jsonio.read(entry / _SPECS, ExportError)
            )
        wait = workers.submit(file, places, how)

        def result() -> Scored:
            scored = wait()
            with self._cache.add(parts) as folder:
                np.save(folder / _SCORES, scored.scores, allow_pickle=False)
                (folder / _SPECS).write_bytes(jsonio.dump(scored.said()))
            return scored

        return result

    def _open(self, model: Model, formats: Sequence[str] = ()) -> ModelLoaded:
        if self._child is not None:
            self._child.close()
        self._child = self.enter_context(Child(self._interface))
        return self._child.load(model, formats)

    def _converting(self, model: Model) -> Child:
        """The child that has the model loaded; one converts once."""
        if self._child is None:
            self._open(model)
        child, self._child = self._child, None
        assert child is not None
        return child

    def _parts(self, step: str, model: Model) -> dict[str, Any]:
        """What a step of the converting child depends on; where the model lies is not among it."""
        asked = {key: value for key, value in model.to_json().items() if key not in ("path", "code")}
        used = versions("edgewright", "numpy", *_CONVERTERS)
        return {"step": step, "model": asked, "interface": vars(self._interface), "versions": used}


@cache
def _machine() -> str:
    """What decides which kernels run: the kind of processor and, where Linux lists them, its abilities."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    abilities = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return f"{platform.machine()} {platform.processor()} {abilities}"
