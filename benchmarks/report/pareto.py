"""Pictures of what accuracy costs, as SVG that takes its colours from the page, light or dark."""

from __future__ import annotations

import html
import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgewright.benchmarks.record.stats import Estimate, exactly
from edgewright.benchmarks.report import advice
from edgewright.benchmarks.report.judged import Words

if TYPE_CHECKING:
    from edgewright.benchmarks.report.facts import Row

# matplotlib draws in colours of its own; each is then replaced by the page's variable of that name.
_NAMES = ("ink", "soft", "line", "accent", *(f"series-{i}" for i in range(5)), "card")
COLOURS = {name: "#" + 3 * f"{i:02x}" for i, name in enumerate(_NAMES, 1)}
_MARKERS = "osD^v"
_SIZE = (4.6, 3.5)  # inches: the text stays legible on a phone
# Where a name may stand from its point, in points right and up: the first few are plainly its own.
_ROOMS = [(right, up) for up in (4, -11, 14, -20, 24, -30) for right in (7, -7)]
_NEAR, _CROWD = 4, 12
_LONG = 20  # letters
_WIDE = 10  # costs that differ by more stand on a logarithmic axis


def by_size(rows: Sequence[Row], best: Row, words: Words) -> str:
    """Accuracy, or what else was judged by, against file size, as an `<svg>` element."""
    return _picture(rows, rows, best, lambda row: exactly(row.bytes / 1e3), "file size, kB", "size", words)


def by_latency(rows: Sequence[Row], best: Row, words: Words) -> str:
    """The same against the median time of a run, as an `<svg>` element; empty if nothing was measured."""
    times = {row: row.latency for row in rows if row.latency}
    cost = "time of a run, ms (median)"
    return _picture([*times], rows, best, times.__getitem__, cost, "latency", words)


def legend(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """The signs of the pictures and what they mean; a sign is the inside of an `<svg>` from -7 to 7."""
    models, formats = _series(rows)
    line = '<path d="M-7 0H7" style="fill:none;stroke:var(--{});{}"/>'
    found = []
    for i, name in enumerate(formats):
        colour = "soft" if len(models) > 1 else f"series-{i % 5}"
        found.append((_shape(_MARKERS[i % len(_MARKERS)], colour), f".{name} file"))
    if len(models) > 1:
        found += [(_shape("s", f"series-{i % 5}"), name) for i, name in enumerate(models)]
    found.append((line.format("accent", "stroke-width:2"), "Pareto front"))
    found.append(('<circle r="6" style="fill:none;stroke:var(--accent);stroke-width:1.5"/>', "ship this"))
    if len(models) == 1:
        found.append((line.format("soft", "stroke-dasharray:4 2"), "Keras model"))
        found.append((line.format("soft", "stroke-dasharray:1 2"), "limit"))
    return found


_SHAPES = {
    "o": '<circle r="4" {}/>',
    "s": '<path d="M-4-4H4V4H-4Z" {}/>',
    "D": '<path d="M0-5L5 0L0 5L-5 0Z" {}/>',
    "^": '<path d="M0-5L5 4H-5Z" {}/>',
    "v": '<path d="M0 5L5-4H-5Z" {}/>',
}


def _shape(marker: str, colour: str) -> str:
    return _SHAPES[marker].format(f'style="fill:var(--{colour})"')


def _series(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    """Models and formats in the order of their colours and markers."""
    return list(dict.fromkeys(row.model for row in rows)), list(dict.fromkeys(row.format for row in rows))


def _picture(
    rows: Sequence[Row],
    all_rows: Sequence[Row],
    best: Row,
    cost: Callable[[Row], Estimate],
    label: str,
    name: str,
    words: Words,
) -> str:
    """The picture of `rows`, in the colours and shapes that `legend` gives to `all_rows`."""
    if not rows:
        return ""
    with quiet():
        svg = _drawn(rows, all_rows, best, cost, label, name, words)
    for place, row in enumerate(rows):
        said = f"{row.model}: {row.name}, {cost(row).value:.3g} at {words.value(row.accuracy.value)}"
        start = f'<g id="{name}-point-{place}">'
        svg = svg.replace(start, f"{start}<title>{html.escape(said)}</title>")
    return svg


@contextmanager
def styled(name: str) -> Iterator[None]:
    """Have matplotlib draw a picture of that name in the stand-ins for the page's colours."""
    import matplotlib

    settings: dict[str, Any] = {"svg.fonttype": "none", "svg.hashsalt": name, "text.parse_math": False}
    settings |= {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    settings |= dict.fromkeys(("text.color", "axes.labelcolor"), COLOURS["ink"])
    settings |= dict.fromkeys(("xtick.color", "ytick.color"), COLOURS["soft"])
    settings["axes.edgecolor"] = COLOURS["line"]
    with matplotlib.rc_context(settings):
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what matplotlib warns of to itself: fonts that lack a letter (the page's own have it), a cache
    that it has to build or cannot write."""
    log = logging.getLogger("matplotlib")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _drawn(
    rows: Sequence[Row],
    all_rows: Sequence[Row],
    best: Row,
    cost: Callable[[Row], Estimate],
    label: str,
    name: str,
    words: Words,
) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    def share(value: float, _: object) -> str:
        return f"{100 * value:.4g} %" if words.is_share else f"{value:.5g}"

    with styled(name):
        figure = Figure(figsize=_SIZE, layout="constrained")
        FigureCanvasAgg(figure)  # it measures text; the SVG is written from it
        axes = figure.add_subplot()
        _draw(axes, rows, all_rows, best, cost)
        axes.set_xlabel(label)
        axes.set_ylabel(words.measure)
        axes.yaxis.set_major_formatter(FuncFormatter(share))
        figure.draw_without_rendering()
        _name_points(axes, rows, all_rows, best, cost)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return for_page(out.getvalue(), name)


def _draw(
    axes: Any, rows: Sequence[Row], all_rows: Sequence[Row], best: Row, cost: Callable[[Row], Estimate]
) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    models, formats = _series(all_rows)
    kept = advice.front(rows, lambda row: cost(row).value)
    for place, row in enumerate(rows):
        x, y = cost(row), row.accuracy
        series = models.index(row.model) if len(models) > 1 else formats.index(row.format)
        colour = COLOURS[f"series-{series % 5}"]
        drawn = axes.errorbar(
            x.value,
            y.value,
            xerr=[[max(x.value - x.low, 0)], [max(x.high - x.value, 0)]],
            yerr=[[y.value - y.low], [y.high - y.value]],
            fmt=_MARKERS[formats.index(row.format) % len(_MARKERS)],
            color=colour,
            markerfacecolor=colour if row in kept else COLOURS["card"],
            markersize=5.5,
            elinewidth=0.9,
            capsize=0,
            zorder=3,
        )
        drawn.lines[0].set_gid(f"point-{place}")
    accent = COLOURS["accent"]
    if best in rows:
        ring = {"markersize": 12, "markerfacecolor": "none", "markeredgecolor": accent}
        axes.plot(cost(best).value, best.accuracy.value, "o", zorder=4, **ring)
    costs, accuracies = [cost(row).value for row in kept], [row.accuracy.value for row in kept]
    axes.step(costs, accuracies, where="post", color=accent, linewidth=1.6, zorder=2)
    if len(models) == 1:
        for height, style in ((rows[0].keras_accuracy, "--"), (rows[0].keras_accuracy - rows[0].limit, ":")):
            axes.axhline(height, color=COLOURS["soft"], linewidth=0.8, linestyle=style, zorder=1)
    least, most = min(cost(row).low for row in rows), max(cost(row).high for row in rows)
    if most > _WIDE * least > 0:
        axes.set_xscale("log")
        decades = np.log10(most / least)  # figures of more than eight ticks run into each other
        subs = (1.0, 2.0, 5.0) if decades < 2 else (1.0, 3.0) if decades < 3.5 else (1.0,)
        axes.xaxis.set_major_locator(LogLocator(subs=subs))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xlim(least / 1.3, most * (most / least) ** 0.12)
    else:
        axes.set_xlim(0, most * 1.12)
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.margins(y=0.1)
    axes.grid(color=COLOURS["line"], linewidth=0.5, alpha=0.5)
    axes.set_axisbelow(True)


def _name_points(
    axes: Any, rows: Sequence[Row], all_rows: Sequence[Row], best: Row, cost: Callable[[Row], Estimate]
) -> None:
    """Write names beside the points wherever there is room, the front's and the best one's first.

    Those of the front may stand farther off and on lines, which the page's style keeps off their letters; one
    in a crowd is left to the table. No name stands on another, or on a point.
    """
    from matplotlib.transforms import Bbox

    def spot(share: float, value: float) -> NDArray[np.float64]:
        found: NDArray[np.float64] = axes.transData.transform((value, share))
        return found

    renderer = axes.figure.canvas.get_renderer()
    point = axes.figure.dpi / 72
    spots = [spot(row.accuracy.value, cost(row).value) for row in rows]
    taken = [Bbox([centre - 4 * point, centre + 4 * point]) for centre in spots]
    bars = [Bbox([spot(r.accuracy.low, cost(r).value), spot(r.accuracy.high, cost(r).value)]) for r in rows]
    bars += [Bbox([spot(r.accuracy.value, cost(r).low), spot(r.accuracy.value, cost(r).high)]) for r in rows]
    corners = advice.front(rows, lambda row: cost(row).value)
    for row, after in pairwise(corners):  # the line that joins them
        turn = spot(row.accuracy.value, cost(after).value)
        bars += [Bbox([spot(row.accuracy.value, cost(row).value), turn])]
        bars += [Bbox([turn, spot(after.accuracy.value, cost(after).value)])]
    frame = axes.get_window_extent(renderer)
    several = len({row.model for row in all_rows}) > 1
    first = [row for row in (best, *corners) if row in rows]
    for row in dict.fromkeys((*first, *rows)):
        chosen, here = row in first, spot(row.accuracy.value, cost(row).value)
        crowd = sum(bool(np.hypot(*(other - here)) < _CROWD * point) for other in spots)
        if crowd > 2 and not chosen:
            continue
        tries = [(room, taken + bars) for room in _ROOMS[:_NEAR]]
        text = f"{row.model}: {row.name}" if several else row.name
        for (right, up), obstacles in tries + [(room, taken) for room in _ROOMS] * chosen:
            label = axes.annotate(
                "\n".join(_lines(text)),
                (cost(row).value, row.accuracy.value),
                xytext=(right, up),
                textcoords="offset points",
                ha="left" if right > 0 else "right",
                fontsize=8,
                fontweight="bold" if row is best else "normal",
                color=COLOURS["ink" if chosen else "soft"],
                zorder=5,
                in_layout=False,
            )
            box = label.get_window_extent(renderer)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not any(box.overlaps(other) for other in obstacles):
                taken.append(box)
                break
            label.remove()


def _lines(name: str) -> list[str]:
    """A name, broken behind its pluses and blanks where it is long."""
    found = [""]
    for part in re.findall(r"[^+ ]*[+ ]?", name):
        if found[-1] and len(found[-1] + part) > _LONG:
            found.append("")
        found[-1] += part
    return found


def for_page(svg: str, name: str) -> str:
    """The `<svg>` element alone, with the page's colours and font, and names that no other picture has."""
    svg = svg[svg.index("<svg") :]
    for variable, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{variable})")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: var(--font)", svg)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', r'<svg role="img" \1', svg, count=1)
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    return re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg).replace("xlink:href", "href")
