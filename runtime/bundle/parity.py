"""How far a variant is from its float model, and what that was judged by: a part of the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgewright.runtime.contract import NOT_PROVEN, PROVEN
from edgewright.runtime.disk.jsonio import JsonObject

VERDICTS = (PROVEN, "refused", NOT_PROVEN)
MEASURES = ("accuracy", "label-accuracy", "agreement", "cosine")
IMAGES = ("labelled", "unlabelled", "noise")


@dataclass(frozen=True, kw_only=True)
class Judging:
    """What the variants were judged by, and on which images.

    `by` is what `accuracy` means in the reports: `accuracy`, the share of images put into the right class;
    `label-accuracy`, of a model of several labels the mean over the images of the share of labels that are
    right; `agreement`, the share of images decided as the Keras model decides, where the truth is not known:
    a file loses at most as much accuracy as it disagrees; `cosine`, the mean cosine between the embeddings of
    file and model. `images` are `labelled`, `unlabelled`, or `noise` of the model's size.
    """

    by: str = "accuracy"
    images: str = "labelled"

    @staticmethod
    def from_json(obj: JsonObject) -> Judging:
        return Judging(by=obj.choice("by", MEASURES), images=obj.choice("images", IMAGES))


@dataclass(frozen=True, kw_only=True)
class ParityReport:
    """How far a variant is from its float Keras model, over `samples` test images.

    What `accuracy` is, `Judging` says. `drop` is the reference's less the variant's, `drop_low`..`drop_high`
    its 95 % interval; `agreement` the share of images that are decided as the reference does (of embeddings:
    whose nearest other image stays the same), `tie_agreement` the same where a tie that holds its class
    counts; `max_abs_error` the largest difference of any score; `beside` are figures that nothing is
    held against, such as `brier` and `ece`. `verdict` is one of `VERDICTS`, with `reason` when it is not
    "passed".

    Of labelled images, `class_images`, `class_lost` and `class_won` count those of each class, in the order
    of the labels, and those that the variant has lost and won (of several labels: of the images that have the
    label); `worst_class`, empty if none loses, has surely lost most, `worst_class_drop` of its share;
    `not_judged` are classes with too few images to see them lost; `calibration_drop` is the rise of the mean
    Brier score. What ends in `_low` and `_high` is a 95 % interval. Older bundles have none of these.

    `pool` is what a pool of pictures without labels added, where the test alone had not proven the variant:
    the `drop` of test and pool together, its interval, how many were disputed; empty without one.

    `chance` is how often a file at a limit would pass as clearly as this one on the test images, and
    `bundle_wide` whether it keeps its limits together with all that was asked for
    (`edgewright.export.proof.together`). Older bundles have neither.
    """

    samples: int
    accuracy: float
    drop: float
    drop_low: float
    drop_high: float
    agreement: float
    tie_agreement: float
    max_abs_error: float
    verdict: str
    reason: str = ""
    beside: Mapping[str, float] = field(default_factory=dict)
    pool: Mapping[str, float] = field(default_factory=dict)
    agreement_low: float | None = None
    agreement_high: float | None = None
    class_images: tuple[int, ...] = ()
    class_lost: tuple[int, ...] = ()
    class_won: tuple[int, ...] = ()
    not_judged: tuple[str, ...] = ()
    worst_class: str = ""
    worst_class_drop: float | None = None
    worst_class_drop_low: float | None = None
    worst_class_drop_high: float | None = None
    calibration_drop: float | None = None
    calibration_drop_low: float | None = None
    calibration_drop_high: float | None = None
    chance: float | None = None
    bundle_wide: bool | None = None

    @property
    def is_proven(self) -> bool:
        return self.verdict == PROVEN

    @property
    def judged_drop(self) -> tuple[float, float, float]:
        """The drop that the verdict is about, and its interval: of test and pool where there was a pool."""
        own = (self.drop, self.drop_low, self.drop_high)
        return (self.pool["drop"], self.pool["drop_low"], self.pool["drop_high"]) if self.pool else own

    @staticmethod
    def from_json(obj: JsonObject) -> ParityReport:
        beside = obj.object("beside") if obj.has("beside") else None
        counts = {key: obj.integers(key) if obj.has(key) else () for key in _CLASS_COUNTS}
        others = {
            **counts,
            **{key: obj.number(key) if obj.has(key) else None for key in _ENDS},
            "verdict": obj.choice("verdict", VERDICTS),
            "beside": {key: beside.number(key) for key in beside.data} if beside else {},
            "not_judged": obj.texts("not_judged") if obj.has("not_judged") else (),
            "worst_class": obj.text("worst_class") if obj.has("worst_class") else "",
            "pool": _pool(obj.object("pool")) if obj.has("pool") else {},
            "bundle_wide": obj.flag("bundle_wide") if obj.has("bundle_wide") else None,
        }
        if any(
            len(counts[key]) != len(counts["class_images"]) or min(counts[key], default=0) < 0
            for key in counts
        ):
            raise obj.fail("class_lost", "counts from 0, as many as of class_images and class_won")
        return obj.make(ParityReport, others)


_CLASS_COUNTS = ("class_images", "class_lost", "class_won")
_ENDS = (
    *("agreement_low", "agreement_high", "chance"),
    *(f"{of}_drop{end}" for of in ("worst_class", "calibration") for end in ("", "_low", "_high")),
)


def _pool(obj: JsonObject) -> dict[str, float]:
    """Numbers, those among them that others show."""
    found = {key: obj.number(key) for key in obj.data}
    if found and not -1 <= obj.number("drop_low") <= obj.number("drop") <= obj.number("drop_high") <= 1:
        raise obj.fail("drop", "from -1 to 1, and inside its interval")
    for key in ("images", "disputed", "unresolved", "look") if found else ():
        obj.integer(key)
    return found
