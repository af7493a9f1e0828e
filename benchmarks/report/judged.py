"""What the files of a bundle were judged by, in words: no more is claimed than what was seen."""

from __future__ import annotations

from dataclasses import dataclass

from edgewright.runtime.bundle.manifest import Manifest
from edgewright.runtime.bundle.parity import Judging, ParityReport

_IMAGES = {"labelled": "test pictures", "unlabelled": "pictures without labels", "noise": "images of noise"}


@dataclass(frozen=True, kw_only=True)
class Words:
    """How the figures of a judging are told; `several` where an image may have several labels."""

    judging: Judging
    several: bool = False

    @property
    def labelled(self) -> bool:
        return self.judging.images == "labelled"

    @property
    def is_share(self) -> bool:
        """Told in per cent; a cosine is not."""
        return self.judging.by != "cosine"

    @property
    def compares_models(self) -> bool:
        """Whether the figures say which of two Keras models is better: not if the truth is unknown."""
        return self.judging.by in ("accuracy", "label-accuracy")

    @property
    def images(self) -> str:
        return _IMAGES[self.judging.images]

    @property
    def measure(self) -> str:
        """The column of a table, the axis of a picture."""
        if self.judging.by == "agreement":
            return "same labels" if self.several else "same answer"
        return {"label-accuracy": "label accuracy", "cosine": "mean cosine"}.get(self.judging.by, "accuracy")

    @property
    def change(self) -> str:
        """The column of what became of it."""
        if self.judging.by == "agreement":
            return "parts with Keras, points"
        return "change, points" if self.is_share else "change"

    @property
    def tile(self) -> str:
        """What stands behind a figure of it that stands alone."""
        if self.judging.by == "accuracy":
            return "right"
        return "of labels right" if self.judging.by == "label-accuracy" else self.measure

    @property
    def kept(self) -> str:
        """What a file has to keep, to be written."""
        if self.judging.by == "accuracy":
            return "keep the accuracy of the best Keras model"
        if self.judging.by == "label-accuracy":
            return "keep the label accuracy of the best Keras model"
        return "give the Keras model's embeddings" if self.judging.by == "cosine" else "decide as Keras does"

    def value(self, figure: float) -> str:
        """`99.14 %`, or of a cosine `0.9987`."""
        return percent(figure) if self.is_share else f"{figure:.4f}"

    def outcome(self, parity: ParityReport) -> str:
        """What was seen of a file, as the end of a sentence that starts with "it"."""
        value, images = self.value(parity.accuracy), f"{parity.samples:,} {self.images}"
        if self.compares_models:
            of = "the labels of " if self.judging.by == "label-accuracy" else ""
            keras = self.value(parity.accuracy + parity.drop)
            return f"gets {value} of {of}{images} right, where the Keras model gets {keras}"
        if self.judging.by == "cosine":
            return f"gives embeddings of {images} whose mean cosine to the Keras model's is {value}"
        of = "the labels of " if self.several else ""
        return f"decides {value} of {of}{images} as the Keras model does"

    def doubt(self, parity: ParityReport) -> str:
        """What that leaves open, as a sentence; empty if nothing."""
        if self.judging.images == "noise":
            return "No picture was seen: how it does on real ones is not known."
        if self.labelled or self.judging.by == "cosine":
            return ""
        most = 100 * parity.drop_high
        return (
            "Which answers are right is not known; it loses as much accuracy as it parts with the Keras "
            f"model at most, {most:.2f} points at the far end of the 95 % interval."
        )


def of(manifest: Manifest) -> Words:
    return Words(judging=manifest.judging, several=manifest.is_multi_label)


def percent(share: float) -> str:
    """`99.14 %`."""
    return f"{100 * share:.2f} %"
