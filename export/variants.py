"""Variants by name: passes, a format and a scheme, such as `tflite-int8` or `prune80+tflite-int8`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgewright.export import formats, passes
from edgewright.export.formats import Scheme
from edgewright.export.network.model import KERAS, ONNX
from edgewright.runtime.errors import InputError, UnknownNameError


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to export a model; `name` is `FORMAT-SCHEME`, after the `passes` that come before it."""

    name: str
    format: str
    scheme: str
    passes: tuple[str, ...] = ()

    @property
    def chain(self) -> str:
        """The passes as they are written; variants that share them share the fine-tuned model."""
        return passes.SEPARATOR.join(self.passes)

    @property
    def settings(self) -> Scheme:
        return formats.get(self.format).schemes[self.scheme]

    @property
    def repairable(self) -> bool:
        """Whether the file is mended if it loses too much; ranges that were trained are left alone."""
        return self.settings.quantizer is not None and not any(
            passes.get(name).fake_quantizes for name in self.passes
        )

    @property
    def is_float(self) -> bool:
        """Whether weights stay floats: then any picture, even noise, shows whether the file is right."""
        return self.scheme.startswith("float") and not self.passes

    @property
    def file(self) -> str:
        """The file's name in a bundle."""
        return self.name + formats.get(self.format).suffix


def known() -> dict[str, Variant]:
    """Every variant without passes, by name; formats in reverse alphabetical order, so TFLite comes first."""
    return {
        f"{name}-{scheme}": Variant(name=f"{name}-{scheme}", format=name, scheme=scheme)
        for name in reversed(formats.names())
        for scheme in formats.get(name).schemes
    }


def with_mixed(variants: Sequence[Variant]) -> list[Variant]:
    """The variants, and behind each static 8-bit one that of the same format whose worst operators stay in
    float32, should it be needed."""
    result: dict[str, Variant] = {}
    for variant in variants:
        result.setdefault(variant.name, variant)
        if mixed := mixed_of(variant):
            result.setdefault(mixed.name, mixed)
    return list(result.values())


def mixed_of(variant: Variant) -> Variant | None:
    """None of one that is not static 8-bit, or whose ranges were trained."""
    if not variant.repairable or variant.settings.mixed:
        return None
    schemes = formats.get(variant.format).schemes
    scheme = next(
        (n for n, s in schemes.items() if s.mixed and s.quantizer == variant.settings.quantizer), None
    )
    if scheme is None:
        return None
    return Variant(
        name=variant.name.removesuffix(variant.scheme) + scheme,
        format=variant.format,
        scheme=scheme,
        passes=variant.passes,
    )


def defaults(kind: str = KERAS, *, float_only: bool = False) -> list[Variant]:
    """The usual ones of a kind of model; `float_only`: of these, those that need no pictures to be judged."""
    return [
        variant
        for variant in known().values()
        if variant.settings.default
        and kind in formats.get(variant.format).takes
        and (variant.is_float or not float_only)
    ]


def check(variants: Sequence[Variant], kind: str, path: object) -> None:
    """Raises `InputError`: one is not made of such a model."""
    usual = ",".join(variant.name for variant in defaults(kind))
    for variant in variants:
        if kind not in formats.get(variant.format).takes:
            raise InputError(
                f"expected variants that an .{kind} file can become, such as {usual}, got {variant.name} of "
                f"{path}; take others with --variants, or export the model it was made from"
            )
        if variant.passes and kind == ONNX:
            raise InputError(
                f"expected variants without passes, which train Keras models, got {variant.name} of {path}; "
                f"leave {variant.chain} out"
            )


def parse(asked: str | Sequence[str | Variant], kind: str = KERAS) -> list[Variant]:
    """Variants by their names, with commas between them or one by one; each once, in the order given. `all`
    stands for every one without passes that such a kind of model can become, but for mixed ones, which come
    where they are needed.

    Raises:
        UnknownNameError: a variant or pass that is none, with the nearest known name.
        InputError: passes in an order that makes no sense, or before a scheme they are not for.
    """
    everything = known()
    chosen: dict[str, Variant] = {}
    for part in asked.split(",") if isinstance(asked, str) else asked:
        if isinstance(part, Variant):
            chosen[part.name] = part
            continue
        name = part.strip()
        if name == "all":
            chosen |= {
                each: variant
                for each, variant in everything.items()
                if kind in formats.get(variant.format).takes and not variant.settings.mixed
            }
            continue
        *chain, last = name.split(passes.SEPARATOR)
        if last not in everything:
            if passes.is_one(last):
                passes.check([*chain, last], "")
            raise UnknownNameError("variant", last, everything)
        passes.check(chain, last)
        plain = everything[last]
        chosen[name] = Variant(name=name, format=plain.format, scheme=plain.scheme, passes=tuple(chain))
    return list(chosen.values())
