"""Explains files: what of each layer's float values they keep, and which layer loses them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.export.explaining import naming, references, trial
from edgewright.export.explaining.comparison import DIVERGES, Comparison, Pairing, compare
from edgewright.export.explaining.graphs import Values
from edgewright.export.explaining.opening import ONNX, TFLITE, Opened, open_all, read_images
from edgewright.export.explaining.references import Reference, Said
from edgewright.export.explaining.runtimes import Parting, kernels_apart, runtimes_apart
from edgewright.runtime.console import Progress, silent
from edgewright.runtime.errors import InputError, ModelFileError


@dataclass(frozen=True, kw_only=True)
class FileExplanation:
    """A file beside the float file `reference`: a comparison for each kind of kernels that runs it, and
    whether the first two of these part. `notes` are lines for the user, the last of which says why there is
    no comparison where there is none."""

    variant: str
    file: str
    sha256: str
    reference: str
    comparisons: tuple[Comparison, ...]
    parting: Parting | None
    notes: tuple[str, ...]

    @property
    def named(self) -> str | None:
        """The layer to look at first: the first that diverges, else the one that loses most."""
        found = [c.diverges for c in self.comparisons] + [c.loses_most for c in self.comparisons]
        return next((layer for layer in found if layer), None)


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What was explained, on how many pictures from where; `runtimes` says whether LiteRT and onnxruntime
    part on the float files, None where there is only one of them."""

    name: str
    path: Path
    images: int
    images_from: str
    files: tuple[FileExplanation, ...]
    runtimes: Parting | None

    def to_json(self) -> dict[str, Any]:
        """Decibels from -200 to 200; a step that alone brings the scores below `diverges_below` diverges."""
        return {
            "name": self.name,
            "path": str(self.path),
            "images": self.images,
            "images_from": self.images_from,
            "diverges_below": DIVERGES,
            "files": [_file_json(file) for file in self.files],
            "runtimes": self.runtimes and dataclasses.asdict(self.runtimes),
        }


def _file_json(file: FileExplanation) -> dict[str, Any]:
    return {
        "variant": file.variant,
        "file": file.file,
        "sha256": file.sha256,
        "reference": file.reference,
        "named": file.named,
        "notes": list(file.notes),
        "parting": file.parting and dataclasses.asdict(file.parting),
        "kernels": [
            {
                **dataclasses.asdict(one),
                "diverges": one.diverges,
                "loses_most": one.loses_most,
            }
            for one in file.comparisons
        ],
    }


def explain(
    path: Path,
    *,
    model: Path | None = None,
    variants: Sequence[str] = (),
    images: Path | None = None,
    said: Said | None = None,
    progress: Progress = silent,
) -> Explanation:
    """Compare files with float files of the same model, layer by layer.

    Args:
        path: a bundle, or a file: one of a bundle, changed or not, where that lies around it, or any other
            that takes pictures `(batch, height, width, channels)`.
        model: what the files were made of, instead of the bundle's own float files: a checkpoint, a model,
            or a float file that takes the same input.
        variants: of a bundle, which; by default all but those that the others are compared with.
        images: a picture, or a folder or .zip of them; by default the bundle's golden images.
        said: what neither the model nor the file says itself.
        progress: is told how far the work is.

    Raises:
        BundleError, ModelFileError: damaged files, or such that no interpreter takes.
        InputError: nothing to compare with, no pictures, or a file that nobody vouched for
            (`edgewright.runtime.trust`).
        ExportError: the model cannot be converted.
    """
    said = said or Said()
    normalization = references.normalization_of(model, said)
    bundle, opened = open_all(path, variants, normalization)
    contract = bundle.manifest.input if bundle else opened[0].input
    pixels, source = read_images(bundle, images, contract)
    with ExitStack() as stack:
        twin = references.twin_of(model, opened[0], normalization) if model else None
        if twin is not None:
            found = [twin]
        elif model is not None:
            manifest = bundle.manifest if bundle else None
            size = (contract.height, contract.width)
            chosen = references.model_at(model, manifest, said, size)
            found = stack.enter_context(references.converted(chosen, opened, pixels))
        else:
            found = references.of_bundle(bundle, opened) if bundle else []
        found = references.with_layers(found, references.namers(bundle, opened), pixels)
        work = [one for one in opened if all(one.network is not each.network for each in found)]
        if not work:
            raise InputError(
                f"expected a file to compare with {found[0].name}, got that file alone; add --model to "
                "compare it with the model that it was exported from"
            )
        total, done, current = sum(len(one.network.kernels) for one in work) * len(pixels), 0, ""

        def advance() -> None:
            nonlocal done
            done += 1
            progress("explaining", done, total, current)

        before = naming.order(references.keras_file(model)) if model else {}
        explained = []
        for one in work:
            current = one.name
            explained.append(_explain(one, references.for_file(found, one), pixels, before, advance))
        if not any(one.comparisons for one in explained):
            raise ModelFileError(explained[0].notes[-1])
        runtimes = _runtimes(found, pixels)
    return Explanation(
        name=bundle.manifest.name if bundle else path.stem,
        path=path,
        images=len(pixels),
        images_from=source,
        files=tuple(explained),
        runtimes=runtimes,
    )


def _explain(
    one: Opened,
    reference: Reference,
    pixels: Values,
    before: Mapping[str, str],
    advance: Callable[[], None],
) -> FileExplanation:
    pairing = Pairing(one.network, reference.network, pixels[:1])
    if not pairing.steps:
        raise InputError(
            f"expected {one.file.path} to be made of the same network as {reference.name}, got no layer that "
            "is in both; name the model it was exported from with --model"
        )
    own = naming.layers(pairing.steps, pairing.twins)
    layers = [
        max(names, reference.layers.get(twin.value, ()), key=len)
        for names, twin in zip(own, pairing.twins, strict=True)
    ]
    layers = [naming.filled(names, before) for names in layers]
    titles = naming.titles(pairing.steps, layers)
    notes, found = [*one.notes], []
    for kernels in one.network.kernels:
        try:
            if kernels != one.network.kernels[0]:
                trial.ensure(one, kernels)
            found.append(
                compare(one.network, reference.network, pairing, pixels, kernels, titles, layers, advance)
            )
        except ModelFileError as failure:
            notes.append(str(failure))
    parting = None
    if len(found) > 1:
        parting = kernels_apart(one.network, reference.network, pairing, pixels, titles)
    if one.passes != reference.passes:
        changed = "+".join(one.passes)
        notes.append(f"compared with {reference.name}: what {changed} changed of the weights counts as error")
    return FileExplanation(
        variant=one.name,
        file=one.file.path.name,
        sha256=one.file.sha256,
        reference=reference.name,
        comparisons=tuple(found),
        parting=parting,
        notes=tuple(notes),
    )


def _runtimes(found: Sequence[Reference], pixels: Values) -> Parting | None:
    """Whether LiteRT and onnxruntime part on float files of no passes; None if there are not both."""
    plain = {each.format: each for each in reversed(found) if not each.passes}
    if not {TFLITE, ONNX} <= plain.keys():
        return None
    one, other = plain[TFLITE], plain[ONNX]
    titles = {value: names[0] for value, names in one.layers.items() if names}
    return runtimes_apart(
        (f"{one.name} in LiteRT", one.network),
        (f"{other.name} in onnxruntime", other.network),
        pixels,
        titles,
    )
