"""Renders the README's tables from `benchmarks/figures/results/*.json`, so that no figure is typed.

    python -m edgewright.benchmarks.figures.render README.md benchmarks/figures/results

What stands between `<!-- table: NAME -->` and `<!-- end -->` is replaced.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgewright.runtime import console
from edgewright.runtime.disk import jsonio
from edgewright.runtime.disk.files import write_file
from edgewright.runtime.errors import EdgewrightError, InputError

Rows = Sequence[Mapping[str, Any]]
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def render(text: str, results: Path) -> str:
    """`text` with every table made anew.

    Raises:
        InputError: a table of an unknown name, or results that are missing or broken.
    """

    def table(match: re.Match[str]) -> str:
        name = match[2]
        if name not in _RENDERERS:
            raise InputError(f"expected a table of {', '.join(_RENDERERS)}, got '{name}'")
        file, renderer = _RENDERERS[name]
        found = jsonio.read(results / f"{file}.json", InputError)
        rows = [row.data for row in found.objects("rows")]
        return match[1] + renderer(rows, found.object("environment").data) + match[3]

    return _TABLE.sub(table, text)


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    rule = ["---" if i < left else "---:" for i in range(len(columns))]
    return "".join(f"| {' | '.join(row)} |\n" for row in (columns, rule, *rows))


def _train(rows: Rows, _: Mapping[str, Any]) -> str:
    columns = (
        "recipe",
        "data",
        "parameters",
        "epochs",
        "best",
        "seconds",
        "training accuracy",
        "validation accuracy",
        "test accuracy",
    )
    return _markdown(
        columns,
        [
            (
                f"`{row['recipe']}`",
                row["data"],
                f"{row['parameters']:,}",
                str(row["epochs"]),
                str(row["best_epoch"]),
                f"{row['seconds']:.0f}",
                f"{row['train_accuracy']:.4f}",
                f"{row['validation_accuracy']:.4f}",
                f"{row['test_accuracy']:.4f}",
            )
            for row in rows
        ],
        left=2,
    )


_DEMO, _DEMO_RECIPE = "fashion-mini", "fashion-mlp"
_DEFAULT = (
    "tflite-float32",
    "tflite-float16",
    "tflite-dynamic-int8",
    "tflite-int8",
    "onnx-float32",
    "onnx-int8",
)


def _demo(rows: Rows, _: Mapping[str, Any]) -> str:
    """The variants of the data set that comes with the project."""
    return _judged([row for row in rows if row["data"] == _DEMO])


def _judged(rows: Rows) -> str:
    columns = ("variant", "accuracy", "drop [95 % interval]", "agreement", "tie-aware", "max abs error")
    return _markdown(
        (*columns, "bytes", "gzip", "verdict"),
        [
            (f"`{row['variant']}`", *_compared(row), *_sizes(row), _verdict(row))
            for row in rows
            if _PASS not in row["variant"]
        ],
        left=1,
    )


_PASS = "+"


def _compared(row: Mapping[str, Any]) -> Sequence[str]:
    """Accuracy, drop, agreement, tie-aware agreement, largest error."""
    accuracy = f"{row['accuracy']:.4f}" if "accuracy" in row else "-"
    if "drop" not in row:
        return (accuracy, *["-"] * 4)
    return (
        accuracy,
        f"{row['drop']:+.4f} [{row['drop_low']:+.4f}, {row['drop_high']:+.4f}]",
        f"{row['agreement']:.4f}",
        f"{row['tie_agreement']:.4f}",
        f"{row['max_abs_error']:.2g}",
    )


def _sizes(row: Mapping[str, Any]) -> Sequence[str]:
    return [f"{row[key]:,}" if key in row else "-" for key in ("bytes", "gzip_bytes")]


def _verdict(row: Mapping[str, Any]) -> str:
    return str(row["verdict"]) if "drop" in row or row["verdict"] == "reference" else str(row["reason"])


def _by_recipe(rows: Rows) -> Mapping[tuple[str, str], Rows]:
    """The rows of each recipe and data set, those of the demo left out."""
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["data"] != _DEMO:
            found.setdefault((row["recipe"], row["data"]), []).append(row)
    return found


def _drops(rows: Rows, _: Mapping[str, Any]) -> str:
    """A row a recipe, a column a default variant: points of accuracy lost."""
    lines = []
    for (recipe, data), found in _by_recipe(rows).items():
        by_variant = {row["variant"]: row for row in found}
        reference = by_variant["keras-float32"]
        cells = [f"`{recipe}`", data, f"{100 * reference['accuracy']:.2f}"]
        for name in _DEFAULT:
            row = by_variant.get(name, {})
            passed = row.get("verdict") == "passed"
            cells.append(f"{100 * row['drop']:+.2f}" if passed else str(row.get("verdict", "-")))
        small = by_variant.get("tflite-int8", {}).get("bytes")
        cells.append(f"{reference['bytes'] / small:.1f}x" if small else "-")
        lines.append(cells)
    columns = ("recipe", "data", "accuracy", *(f"`{name}`" for name in _DEFAULT), "`tflite-int8` smaller by")
    return _markdown(columns, lines, left=2)


def _export(rows: Rows, _: Mapping[str, Any]) -> str:
    """All variants of all recipes, each recipe folded away."""
    return "\n".join(
        f"<details><summary><code>{recipe}</code> on {data}</summary>\n\n{_judged(found)}\n</details>\n"
        for (recipe, data), found in _by_recipe(rows).items()
    )


def _passes(rows: Rows, _: Mapping[str, Any]) -> str:
    """What passes made, each beside the plain variant of the same format and scheme."""
    lines = []
    for (recipe, data), found in _by_recipe(rows).items():
        passed = [row for row in found if _PASS in row["variant"]]
        plain = {row["variant"]: row for row in found if _PASS not in row["variant"]}
        bases = {row["variant"].rpartition(_PASS)[2] for row in passed}
        for row in (*(row for name, row in plain.items() if name in bases), *passed):
            base = plain.get(row["variant"].rpartition(_PASS)[2])
            smaller = "-"
            if base is not None and row is not base and "gzip_bytes" in row and "gzip_bytes" in base:
                smaller = f"{base['gzip_bytes'] / row['gzip_bytes']:.2f}x"
            accuracy, drop, *_rest = _compared(row)
            named = (f"`{recipe}`", data, f"`{row['variant']}`")
            lines.append((*named, accuracy, drop, *_sizes(row), smaller, _verdict(row)))
    columns = ("recipe", "data", "variant", "accuracy", "drop [95 % interval]", "bytes", "gzip")
    return _markdown((*columns, "gzip smaller by", "verdict"), lines, left=3)


def _bench(rows: Rows, environment: Mapping[str, Any]) -> str:
    """Each recipe folded away but for the demo's: its times, and what targets that take none have counted."""
    recipes: dict[str, dict[tuple[str, str, str, int], dict[str, Mapping[str, Any]]]] = {}
    for row in rows:
        key = (row["recipe"], row["variant"], row["target"], row["threads"])
        recipes.setdefault(row["recipe"], {}).setdefault(key, {})[row["metric"]] = row
    text = ""
    for recipe, found in recipes.items():
        timed = [_times(*one) for one in found.items() if "p50" in one[1]]
        counted = [one for one in found.items() if "p50" not in one[1]]
        tables = [
            *([_markdown(_TIMES, timed, left=2)] if timed else []),
            *([_counts(counted)] if counted else []),
        ]
        shown = " open" if recipe == _DEMO_RECIPE else ""
        text += f"<details{shown}><summary><code>{recipe}</code></summary>\n\n" + "\n".join(tables)
        text += "\n</details>\n\n"
    if any(row["metric"] == "p50" for row in rows):
        text += _where(environment).lstrip()
    return text


_TIMES = (
    *("variant", "target", "load", "first run", "p50 [95 % interval]", "p90", "p99", "JPEG to label"),
    *("PNG to label", "runs/s", "MACs", "of peak", "peak RSS"),
)


def _times(key: tuple[str, str, str, int], found: Mapping[str, Mapping[str, Any]]) -> Sequence[str]:
    def show(metric: str, form: str = ".4g", unit: str = "") -> str:
        return f"{found[metric]['value']:{form}}{unit}" if metric in found else "-"

    p50 = found["p50"]
    return (
        f"`{key[1]}`",
        f"`{key[2]}`",
        show("load"),
        show("first_run"),
        f"{p50['value']:.4g} [{p50['low']:.4g}, {p50['high']:.4g}]",
        show("p90"),
        show("p99"),
        show("jpeg_to_label"),
        show("png_to_label"),
        show("inferences_per_second", ",.0f"),
        show("macs", ",.0f"),
        show("peak_share", ".2g", " %"),
        show("peak_rss", ".1f", " MiB"),
    )


def _counts(counted: Sequence[tuple[tuple[str, str, str, int], Mapping[str, Mapping[str, Any]]]]) -> str:
    metrics = list(dict.fromkeys(metric for _, found in counted for metric in found))

    def number(value: float) -> str:
        return f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:,.4g}"

    def cell(row: Mapping[str, Any] | None) -> str:
        if row is None:
            return "-"
        value = number(row["value"])
        return (
            value if row["low"] == row["high"] else f"{value} [{number(row['low'])}, {number(row['high'])}]"
        )

    lines = [
        (*(f"`{word}`" for word in key[1:3]), *(cell(found.get(metric)) for metric in metrics))
        for key, found in counted
    ]
    return _markdown(("variant", "target", *(m.replace("_", " ") for m in metrics)), lines, left=2)


def _compare(rows: Rows, environment: Mapping[str, Any]) -> str:
    columns = ("machine", "true slow-down", "comparisons", "found", "B to A, median [range]")

    def ratio(row: Mapping[str, Any]) -> str:
        return (
            f"{row['ratio']:.3f} [{row['ratio_low']:.3f}, {row['ratio_high']:.3f}]" if "ratio" in row else "-"
        )

    lines = [
        (
            row["machine"],
            f"{row['slow_down']:.0%}" if row["slow_down"] else "none",
            f"{row['comparisons']:,}",
            f"{row['found']:,} ({row['found'] / row['comparisons']:.1%})",
            ratio(row),
        )
        for row in rows
    ]
    return _markdown(columns, lines, left=1) + (
        f"\n{environment['cpu']}, {environment['cores']} cores, "
        f"load {environment['load_1min']:.1f} at the start.\n"
    )


def _transfer(rows: Rows, _: Mapping[str, Any]) -> str:
    """A row for each way, and how many times faster features are."""
    columns = ("data", "way", "epochs", "seconds", "seconds for all epochs", "times faster", "test accuracy")
    plain = {row["data"]: row["seconds_ten_epochs"] for row in rows if row["way"] == "plain"}
    return _markdown(
        columns,
        [
            (
                row["data"],
                row["way"],
                str(row["epochs"]),
                f"{row['seconds']:.1f}",
                f"{row['seconds_ten_epochs']:.0f}",
                f"{plain[row['data']] / row['seconds_ten_epochs']:.1f}",
                f"{row['test_accuracy']:.4f}",
            )
            for row in rows
        ],
        left=2,
    )


def _proof(rows: Rows, _: Mapping[str, Any]) -> str:
    columns = ("recipe", "images a variant", "export", "conversion", "inference", "ratio [range]", "at most")
    return _markdown(
        columns,
        [
            (
                f"`{row['recipe']}`",
                f"{row['images']:,}",
                f"{row['export_seconds']:.1f} s",
                f"{row['conversion_seconds']:.1f} s",
                f"{row['inference_seconds']:.1f} s on one of {row['cores']} cores",
                f"{row['ratio']:.2f} [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]",
                f"{row['limit']:.2f}",
            )
            for row in rows
        ],
        left=1,
    )


def _peers(rows: Rows, environment: Mapping[str, Any]) -> str:
    """A row for each of our files, a column a peer."""
    ours = rows[0]["peer"]
    names = sorted({row["peer"] for row in rows} - {ours})
    found = {(row["recipe"], row["against"], row["peer"]): row for row in rows}

    def cell(row: Mapping[str, Any] | None) -> str:
        if row is None or row["reason"]:
            return "-" if row is None else "fails"
        alike = round(row["agreement"] * row["images"])
        others = "" if alike == row["images"] else f", {alike} of {row['images']}"
        return f"{row['p50_ms']:.3g} ({row['ratio']:.2f}x{others})"

    lines = []
    for recipe, variant in dict.fromkeys((row["recipe"], row["against"]) for row in rows):
        own = found[recipe, variant, ours]
        figure = (
            "fails" if own["reason"] else f"{own['p50_ms']:.3g} [{own['low_ms']:.3g}, {own['high_ms']:.3g}]"
        )
        peers = (cell(found.get((recipe, variant, name))) for name in names)
        lines.append((f"`{recipe}`", f"`{variant}`", figure, *peers))
    return _markdown(("recipe", "variant", "Edgewright", *names), lines, left=2) + _where(environment)


def _where(environment: Mapping[str, Any]) -> str:
    """The line that says what machine and which versions gave the figures."""
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items() if version)
    return (
        f"\nMilliseconds, one thread, load {environment['load_1min']:.1f} at the start: "
        f"{environment['cpu']}, {environment['cores']} cores"
        f"{' (virtual machine)' if environment['virtual_machine'] else ''}; {versions}.\n"
    )


def _runtime(rows: Rows, environment: Mapping[str, Any]) -> str:
    """Ratios with their limits, and why a limit is missed."""
    columns = ("what", "against", "ratio [95 % interval]", "limit", "met")
    lines = [
        (
            row["name"],
            row["against"],
            f"{row['ratio']:.3f} [{row['ratio_low']:.3f}, {row['ratio_high']:.3f}]",
            f"{row['sense']} {row['limit']:g}",
            "yes" if row["met"] else f"**no**{': ' * bool(row['reason'])}{row['reason']}",
        )
        for row in rows
    ]
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items() if version)
    where = f"\n{environment['cpu']}, {environment['cores']} cores; {versions}.\n"
    return _markdown(columns, lines, left=2) + where


_RENDERERS: Mapping[str, tuple[str, Callable[[Rows, Mapping[str, Any]], str]]] = {
    "train": ("train", _train),
    "demo": ("export", _demo),
    "drops": ("export", _drops),
    "export": ("export", _export),
    "passes": ("export", _passes),
    "bench": ("bench", _bench),
    "compare": ("compare", _compare),
    "transfer": ("transfer", _transfer),
    "proof": ("proof", _proof),
    "peers": ("peers", _peers),
    "runtime": ("runtime", _runtime),
}


def main(readme: Path, results: Path) -> int:
    text = readme.read_text(encoding="utf-8")
    write_file(readme, render(text, results).encode("utf-8"))
    console.say(f"wrote {readme}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
    except EdgewrightError as failure:
        console.complain(str(failure))
        sys.exit(1)
