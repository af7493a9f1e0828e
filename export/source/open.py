"""Opens what is exported: a checkpoint that train wrote, or anyone's model with what is said of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from edgewright.export import variants as known_variants
from edgewright.export.network.model import KERAS, described, kind_of
from edgewright.export.source import pool as reading
from edgewright.export.source.checkpoint import open_checkpoint
from edgewright.export.source.foreign import open_foreign
from edgewright.export.source.options import Options
from edgewright.export.source.source import Load, Source
from edgewright.export.variants import Variant
from edgewright.runtime.console import Progress, silent
from edgewright.runtime.errors import InputError
from edgewright.train.checkpoint import CHECKPOINT


def usual(path: Path, options: Options) -> list[Variant]:
    """The variants of such a model that are written if none are asked for: without any pictures, those that
    need none."""
    given = options.given
    pictures = options.data or given.test or given.pictures
    float_only = not pictures and not (path / CHECKPOINT).exists()
    return known_variants.defaults(kind_of(path) or KERAS, float_only=float_only)


def open_source(
    path: Path,
    options: Options,
    variants: Sequence[Variant],
    load: Load,
    progress: Progress = silent,
) -> Source:
    """Open what lies at `path` and have `load` look into its model before any picture is decoded.

    Raises:
        InputError, CheckpointError, DataError, ExportError: it, or what was said of it, cannot be used.
    """
    if (path / CHECKPOINT).exists():
        return _with_pool(open_checkpoint(path, options, variants, load, progress), options, progress)
    if kind_of(path) is None:
        raise InputError(
            "expected a checkpoint folder (edgewright train makes one), a .keras, .h5 or .onnx file or a "
            f"SavedModel folder, got {described(path)}"
        )
    return _with_pool(open_foreign(path, options, variants, load, progress), options, progress)


def _with_pool(source: Source, options: Options, progress: Progress) -> Source:
    """The source, with the pool that the options name. Raises `InputError`, `DataError`."""
    if options.pool is None:
        return source
    if source.truth is None or source.judging.by != "accuracy":
        raise InputError(
            "expected --pool beside labelled test images of classes that exclude each other, got it with "
            f"{source.judging.images} ones judged by {source.judging.by}; leave it out"
        )
    pool, left_out = reading.read(
        Path(options.pool),
        source.input,
        (source.calibration, source.test),
        source.trained_on,
        options.seed,
        progress,
    )
    return dataclasses.replace(source, pool=pool, left_out=(*source.left_out, *left_out))
