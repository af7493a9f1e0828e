"""What is said of a model file to whoever writes an app, and how a template is filled in with it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from edgewright.runtime.bundle.manifest import Manifest, VariantEntry
from edgewright.runtime.contract.labels import quoted

if TYPE_CHECKING:
    from edgewright.runtime.contract.heads import Head

_FITS = {
    "stretch": "resize to {width}x{height}, whatever the picture's shape",
    "crop": "crop the middle to {width}:{height}, then resize to {width}x{height}",
    "letterbox": "resize to fit into {width}x{height} and fill the rest with black",
}


@dataclass(frozen=True, kw_only=True)
class Given:
    """A variant of a bundle."""

    manifest: Manifest
    variant: VariantEntry

    @property
    def file(self) -> str:
        return self.variant.file.file

    @property
    def suffix(self) -> str:
        return self.file[self.file.rfind(".") :]

    @property
    def title(self) -> str:
        """The model's name as far as it is letters that mean nothing in any file."""
        return re.sub(r"[^A-Za-z0-9 -]", "", self.manifest.name)[:40].strip(" -") or "model"

    @property
    def head(self) -> Head:
        from edgewright.runtime.contract.heads import Head  # needs numpy

        count = self.variant.output.shape[-1]
        return Head(kind=self.manifest.head, count=count, threshold=self.manifest.threshold)

    @property
    def answer(self) -> str:
        """Which kind of answer the scores are: what `HEADS` names, or `binary`, `binary-logits`."""
        head = self.head
        return head.kind.replace("sigmoid", "binary") if head.is_binary else head.kind

    @property
    def fit(self) -> str:
        given = self.manifest.input
        return _FITS[given.fit].format(width=given.width, height=given.height)

    @property
    def is_grey(self) -> bool:
        return self.manifest.input.channels == 1

    @property
    def takes_bytes(self) -> bool:
        return self.variant.input.dtype == "uint8"

    @property
    def gives_bytes(self) -> bool:
        return self.variant.output.dtype == "uint8"

    def lines(self) -> str:
        """What has to be done, in a few lines."""
        given, scores, labels = self.manifest.input, self.variant.output, self.manifest.labels
        takes = f"{self.variant.input.dtype} {self.variant.input.shape}"
        quantized = f", score = {scores.scale:.8g} * (value - {scores.zero_point})" if scores.scale else ""
        lines = [
            f"file    {self.file}, {self.variant.file.bytes:,} bytes",
            f"input   {takes}: {'grey' if self.is_grey else 'RGB'} pixels 0-255; the file scales them",
            f"fit     {self.fit} ({given.resample})",
            f"output  {scores.dtype} {scores.shape}: {self._meaning()}{quantized}",
        ]
        if self.variant.not_for_gpu:
            lines.append(f"not for GPU: {self.variant.not_for_gpu}; leave it on the CPU")
        if labels:
            order = "no, then yes" if self.head.is_binary else "in the order of the scores"
            lines.append(f"labels  {len(labels)}, in labels.txt, {order}")
        return "\n".join(lines)

    def _meaning(self) -> str:
        head = self.head
        if head.is_embedding:
            return "an embedding; the cosine of two says how alike the pictures are"
        if not head.is_sigmoid:
            return "probabilities" if head.kind == "softmax" else "logits: the largest is the best class"
        score = "the score" if head.kind == "sigmoid" else "1 / (1 + exp(-score))"
        if head.is_binary:
            no, yes = (quoted([label]) for label in self.manifest.labels)
            return f"{score} is the probability of {yes}; above {head.threshold:g} it is that, else {no}"
        return f"{score} is the probability of each label alone; above {head.threshold:g} the picture has it"

    @property
    def is_for_gpu(self) -> bool:
        """Nothing is known against it; a device has to show that it is right there."""
        return not self.variant.not_for_gpu

    def common(self, escape: str, file: str = "") -> dict[str, str]:
        """The values of templates that are the same in every language, of a model file that is called `file`;
        `escape` is how the language writes the number of a letter."""
        given, head, output = self.manifest.input, self.head, self.variant.output
        no, yes = (literal(label, escape) for label in self.manifest.labels) if head.is_binary else ("", "")
        name = literal(file or self.file, escape)
        return {
            "file": name,
            "stem": name[1:].rpartition(".")[0],
            "title": self.title,
            "fit": self.fit,
            "fit_word": given.fit,
            "filter": given.resample,
            "height": str(given.height),
            "width": str(given.width),
            "channels": str(given.channels),
            "takes_bytes": _truth(self.takes_bytes),
            "gives_bytes": _truth(self.gives_bytes),
            "head": head.kind,
            "count": str(head.count),
            "threshold": _number(head.threshold),
            "zero_point": str(output.zero_point),
            "scale": _number(output.scale),
            "tolerance": _number(self.variant.tolerance.max_abs_elsewhere),
            "for_gpu": _truth(self.is_for_gpu),
            "no": no,
            "yes": yes,
        }


UTF16 = "\\u{:04x}"  # of languages whose letters beyond U+FFFF are two


def literal(text: str, escape: str) -> str:
    """A string literal of a language that writes letters by their number as `escape` does: `UTF16`, or one
    that takes any number."""
    return (
        '"' + "".join(c if c.isprintable() and c not in '"\\$' else _escaped(c, escape) for c in text) + '"'
    )


def _escaped(letter: str, escape: str) -> str:
    if escape != UTF16:
        return escape.format(ord(letter))
    raw = letter.encode("utf-16-be")
    return "".join(escape.format(int.from_bytes(raw[i : i + 2])) for i in range(0, len(raw), 2))


def _number(value: float) -> str:
    """A literal of a float, such as all languages take before an `f`."""
    text = f"{value:.9g}"
    return text if "." in text or "e" in text else f"{text}.0"


def _truth(value: bool) -> str:
    return "true" if value else "false"


def joined(parts: Sequence[str], heads: tuple[str, ...]) -> str:
    """Source files as one: lines that begin with one of `heads`, such as imports, come first, each once."""
    lines = [line for part in parts for line in part.splitlines()]
    found = [sorted({line for line in lines if line.startswith(head)}) for head in heads]
    first = "\n\n".join("\n".join(block) for block in found if block)
    bodies = re.sub("\n{3,}", "\n\n", "\n".join(line for line in lines if not line.startswith(heads)))
    return f"{first}\n\n{bodies.strip()}\n"


def template(package: str, name: str) -> str:
    """The text of a file that lies beside the modules of `package`."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def filled(template: str, values: Mapping[str, str]) -> str:
    """`template` with `<<name>>` replaced, once: what stands in a value is not looked at."""
    return re.sub(r"<<(\w+)>>", lambda match: values[match[1]], template).strip() + "\n"
