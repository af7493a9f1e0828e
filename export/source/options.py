"""What a user may set of an export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgewright.export.network.model import ONE_IMAGE, FileInterface
from edgewright.export.proof.limits import Limits
from edgewright.export.proof.pool import LABEL_ERROR
from edgewright.export.variants import Variant
from edgewright.train.normalization import Normalization

_PATHS = ("labels", "calibration", "test", "pictures", "code")  # of `Given`


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a user says of a model that is no checkpoint; None and the like where nothing is said.

    `labels` is a file with a label a line, in the order of the scores; `normalization` what the network wants
    pixels brought to; `fit` how pictures of another shape are brought to its size, one of `FITS`; `size` the
    height and width for a network that leaves them open; `head` what the scores mean, one of `HEADS`, found
    in the network unless it is given; `threshold` above which a sigmoid is a yes; `output` which of several
    outputs gives the scores; `calibration` and `test` are folders of pictures, .npz files or .csv tables;
    `pictures` is a folder of unlabelled ones, in place of both; `unsafe_load` lets the file run Python code
    or operators that read and write files; `code` is a Python file that defines layers or models of the
    user's own.
    """

    labels: Path | str | None = None
    normalization: Normalization | None = None
    fit: str | None = None
    size: tuple[int, int] | None = None
    head: str | None = None
    threshold: float | None = None
    output: str | None = None
    calibration: Path | str | None = None
    test: Path | str | None = None
    pictures: Path | str | None = None
    unsafe_load: bool = False
    code: Path | str | None = None


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a user may set of an export.

    `out` is the folder to write; `variants` are names, with commas between them or one by one, by default the
    usual six. `max_drop` is the largest accuracy drop that passes, a share, `max_class_drop`, `min_agreement`
    and `max_calibration_drop` are limits beside it (`edgewright.export.proof.limits.Limits`); `bundle_wide`
    wants all variants to keep them together (`edgewright.export.proof.together`); `keep_unproven` writes what
    is not proven too, flagged as such. `calibration_size` is how many images set the ranges of
    8-bit files, and `seed` draws them; `overwrite` replaces a bundle that is there. `data` and `data_dir` say
    where the checkpoint's data set lies if not where it was, or which one is a model's that is no checkpoint;
    `given` is what such a model does not say itself. `interface` is what every file takes; `finetune_epochs`
    is how long each pass trains at most. `pool` are pictures without labels beside the labelled test images:
    a folder, a .zip or an .npz; `label_error` is the share of their labels that is assumed to be wrong.
    `repair` mends static 8-bit files that lose too much, see `edgewright.export.repair`.
    """

    out: Path | str
    variants: str | Sequence[str | Variant] = ()
    max_drop: float = 0.01
    max_class_drop: float | None = None
    min_agreement: float | None = None
    max_calibration_drop: float | None = None
    keep_unproven: bool = False
    bundle_wide: bool = False
    calibration_size: int = 256
    seed: int = 0
    overwrite: bool = False
    data: str | None = None
    data_dir: Path | str | None = None
    interface: FileInterface = ONE_IMAGE
    finetune_epochs: int = 6
    repair: bool = True
    given: Given = field(default_factory=Given)
    pool: Path | str | None = None
    label_error: float = LABEL_ERROR

    @property
    def limits(self) -> Limits:
        return Limits(
            max_drop=self.max_drop,
            max_class_drop=self.max_class_drop,
            min_agreement=self.min_agreement,
            max_calibration_drop=self.max_calibration_drop,
        )

    def to_json(self) -> dict[str, Any]:
        """What was set, but for where things lie: of a path its last name is left."""
        elsewhere = ("out", "overwrite", "data_dir", "variants", "interface", "given")
        own = {key: value for key, value in vars(self).items() if key not in elsewhere}
        given = {**vars(self.given)}
        normalization = given.pop("normalization")
        for paths, key in ((own, "data"), (own, "pool"), *((given, key) for key in _PATHS)):
            if paths[key] is not None:
                paths[key] = Path(paths[key]).absolute().name
        return {
            **own,
            **asdict(self.interface),
            "given": {**given, "normalization": normalization and normalization.to_json()},
        }

    @property
    def data_folder(self) -> Path | None:
        return None if self.data_dir is None else Path(self.data_dir)
