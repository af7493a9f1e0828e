"""What `edgewright explain` found of a bundle's files: read with suspicion, drawn as error along depth."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.benchmarks.report import pareto
from edgewright.runtime.bundle.manifest import Manifest
from edgewright.runtime.disk import jsonio
from edgewright.runtime.disk.jsonio import JsonObject
from edgewright.runtime.errors import InputError

_MOST_LAYERS, _MOST_LINES = 3000, 24
_END = 200.0  # decibels, which stand for no difference at all
_SHOWN = (-5.0, 65.0)  # decibels: what is above is as good as the same
_NAMED = 24  # layers that fit below the picture
_SIZE = (8.6, 3.6)  # inches
_SLANTED: dict[str, Any] = {"rotation": 50, "ha": "right", "rotation_mode": "anchor"}
_DASHES = ("-", "--", ":", "-.")
_SVG_DASHES = {"-": "none", "--": "6 3", ":": "2 2", "-.": "6 2 2 2"}
_ALIKE = 1.0  # decibels


@dataclass(frozen=True, kw_only=True)
class Line:
    """A file as some kernels run it: for each layer, in decibels, how far its values are from the float
    model's, and how far the scores are if that layer alone is wrong. `diverges` and `loses_most` are layers,
    empty where there is none."""

    variant: str
    kernels: str
    layers: tuple[str, ...]
    snr: tuple[float, ...]
    score_snr: tuple[float, ...]
    decided: float
    diverges: str
    loses_most: str

    @property
    def name(self) -> str:
        return f"{self.variant}, {self.kernels}"


@dataclass(frozen=True, kw_only=True)
class Explained:
    """What was explained of a bundle, on how many pictures. `limit` is where a layer's own error, in decibels
    of the scores, begins to count as parting; `stale` are files that have changed since."""

    images: int
    limit: float
    lines: tuple[Line, ...]
    partings: tuple[str, ...]
    stale: tuple[str, ...]


def read(path: Path, manifests: Sequence[Manifest]) -> list[Explained | None]:
    """What `edgewright explain --out` wrote, for each bundle that it is of.

    Raises:
        InputError: another kind of file, or of none of the bundles.
    """
    obj = jsonio.read(path, InputError)
    name = obj.text("name")
    if all(manifest.name != name for manifest in manifests):
        raise InputError(
            f"expected {path} to explain one of the bundles, got '{name}', as which none is known; make it "
            "with edgewright explain BUNDLE --out"
        )
    return [_of(obj, manifest) if manifest.name == name else None for manifest in manifests]


def _of(obj: JsonObject, manifest: Manifest) -> Explained:
    files = obj.objects("files")
    current = {v.name: v.file.sha256 for v in manifest.variants}
    lines, partings, stale = [], [], []
    for file in files:
        variant = file.text("variant")
        if current.get(variant) != file.text("sha256"):
            stale.append(variant)
            continue
        lines += [_line(variant, one) for one in file.objects("kernels")]
        if file.data.get("parting") is not None:
            partings.append(f"{variant}: {_parting(file.object('parting'))}")
    if obj.data.get("runtimes") is not None:
        partings.append(_parting(obj.object("runtimes")))
    return Explained(
        images=obj.integer("images"),
        limit=_decibels(obj, "diverges_below"),
        lines=tuple(lines[:_MOST_LINES]),
        partings=tuple(partings),
        stale=tuple(stale),
    )


def _line(variant: str, one: JsonObject) -> Line:
    steps = one.objects("steps")
    if not 0 < len(steps) <= _MOST_LAYERS:
        raise one.fail("steps", f"1 to {_MOST_LAYERS:,} layers")
    return Line(
        variant=variant,
        kernels=one.text("kernels"),
        layers=tuple(step.text("layer") for step in steps),
        snr=tuple(_decibels(step, "snr") for step in steps),
        score_snr=tuple(_decibels(step, "score_snr") for step in steps),
        decided=one.number("decided"),
        diverges=_optional(one, "diverges"),
        loses_most=_optional(one, "loses_most"),
    )


def _optional(obj: JsonObject, key: str) -> str:
    return "" if obj.data.get(key) is None else obj.text(key)


def _decibels(obj: JsonObject, key: str) -> float:
    return max(-_END, min(_END, obj.number(key)))


def _parting(obj: JsonObject) -> str:
    layer = _optional(obj, "layer")
    where = f"part first in {layer}" if layer else "do not part"
    return f"{obj.text('one')} and {obj.text('other')} {where}; {obj.number('decided'):.0%} decided alike"


def picture(found: Explained, name: str) -> str:
    """Signal over error along the layers, a line a file and kind of kernels, as an `<svg>` element; empty if
    nothing was explained."""
    if not found.lines:
        return ""
    with pareto.quiet():
        return _drawn(found, name)


def drawn(found: Explained) -> list[tuple[str, Line]]:
    """The lines of the picture with their names; kinds of kernels that do the same share one."""
    kept: list[tuple[list[str], Line]] = []
    for line in found.lines:
        for kernels, other in kept:
            far = [abs(a - b) for a, b in zip(line.snr, other.snr, strict=False)]
            if (line.variant, line.layers) == (other.variant, other.layers) and max(far) < _ALIKE:
                kernels.append(line.kernels)
                break
        else:
            kept.append(([line.kernels], line))
    return [(f"{line.variant}, {' and '.join(kernels)}", line) for kernels, line in kept]


def legend(found: Explained) -> list[dict[str, str]]:
    """Name, colour's name and dashes of each line of the picture, as SVG says them."""
    return [
        {"name": name, "colour": style(place)[0], "dashes": _SVG_DASHES[style(place)[1]]}
        for place, (name, _) in enumerate(drawn(found))
    ]


def style(place: int) -> tuple[str, str]:
    """The colour's name and the dashes of a line."""
    return f"series-{place % 5}", _DASHES[place // 5 % len(_DASHES)]


def _drawn(found: Explained, name: str) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    depth = _depth(found.lines)
    with pareto.styled(name):
        figure = Figure(figsize=_SIZE, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        for place, (_, line) in enumerate(drawn(found)):
            colour, dashes = style(place)
            x = [depth[layer] for layer in line.layers]
            y = [max(_SHOWN[0], min(_SHOWN[1], value)) for value in line.snr]
            axes.plot(
                x, y, color=pareto.COLOURS[colour], linestyle=dashes, marker="o", markersize=3, linewidth=1.5
            )
            if line.diverges in line.layers:
                at = line.layers.index(line.diverges)
                accent = pareto.COLOURS["accent"]
                axes.plot(
                    x[at], y[at], "o", zorder=4, markersize=11, markerfacecolor="none", markeredgecolor=accent
                )
        axes.axhline(found.limit, color=pareto.COLOURS["soft"], linewidth=0.8, linestyle=":", zorder=1)
        axes.set_ylim(_SHOWN[0] - 2, _SHOWN[1] + 2)
        axes.set_ylabel("signal over error, dB")
        every = -(-len(depth) // _NAMED)
        shown = [layer for layer, place in depth.items() if place % every == 0]
        axes.set_xticks([depth[layer] for layer in shown], [_short(layer) for layer in shown], **_SLANTED)
        axes.grid(color=pareto.COLOURS["line"], linewidth=0.5, alpha=0.5)
        axes.set_axisbelow(True)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return pareto.for_page(out.getvalue(), name)


def _depth(lines: Sequence[Line]) -> dict[str, int]:
    """Where each layer stands: those of the longest line in its order, others behind the one before them."""
    order = list(max(lines, key=lambda line: len(line.layers)).layers)
    for line in lines:
        for before, layer in zip(("", *line.layers), line.layers, strict=False):
            if layer not in order:
                order.insert(order.index(before) + 1 if before else 0, layer)
    return {layer: place for place, layer in enumerate(order)}


def _short(layer: str, most: int = 18) -> str:
    return layer if len(layer) <= most else f"{layer[: most - 1]}…"


def rows(found: Explained) -> list[dict[str, Any]]:
    """A row a line, for a table."""
    return [
        {
            "name": line.name,
            "decided": line.decided,
            "diverges": line.diverges,
            "loses_most": line.loses_most,
            "worst": min(line.score_snr),
        }
        for line in found.lines
    ]
