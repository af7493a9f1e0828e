"""Renders the tables of README and docs from `benchmarks/figures/results/*.json`, so that no figure is typed.

    python -m edgewright.benchmarks.figures.render [--check] [--results DIR] README.md docs …

What stands between `<!-- table: NAME -->` and `<!-- end -->` in the files, and in the Markdown files of the
folders, is replaced. Below a table stands how many of its rows were made by earlier code, but in README,
which is short; table `pedigree` lists that of all results. `--check` writes nothing and exits with 1 if a
table is not what the results say. How old its rows are is no part of that: it changes with the code.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from edgewright.benchmarks.figures import script
from edgewright.benchmarks.figures.pedigree.stale import RESULTS, Standing, standings
from edgewright.benchmarks.figures.tables import (
    Row,
    Rows,
    engines,
    gpu,
    limits,
    markdown,
    mutants,
    others,
    rates,
    table,
    trainings,
    verdict,
    versions,
    where,
)
from edgewright.runtime import console
from edgewright.runtime.disk import jsonio
from edgewright.runtime.disk.files import write_file
from edgewright.runtime.errors import InputError

README = "README.md"
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def render(text: str, results: Path = RESULTS, standings: Sequence[Standing] | None = None) -> str:
    """`text` with every table made anew.

    Args:
        text: a page; notes on the age of rows are taken out of its tables.
        results: the folder of the results.
        standings: how results stand to the code of today, for notes; None leaves out what changes with it.

    Raises:
        InputError: a table of an unknown name, or results that are missing or broken.
    """

    notes = {one.kind: _note(one) for one in standings or ()}

    def made_anew(match: re.Match[str]) -> str:
        name = match[2]
        if name == PEDIGREE:
            return match[0] if standings is None else f"{match[1]}\n{_pedigree(standings)}\n{match[3]}"
        if name not in _RENDERERS:
            raise InputError(f"expected a table of {', '.join(_RENDERERS)}, got '{name}'")
        file, renderer = _RENDERERS[name]
        found = jsonio.read(results / f"{file}.json", InputError)
        rows = [row.data for row in found.objects("rows")]
        made = renderer(rows, found.object("environment").data)
        return f"{match[1]}\n{made}{notes.get(file, '')}\n{match[3]}"

    return _TABLE.sub(made_anew, text)


PEDIGREE = "pedigree"
_NOTE = re.compile(r"\n\d+ of \d+ rows of `\w+\.json` were made by earlier code.*\n")


def _note(standing: Standing) -> str:
    if not standing.stale:
        return ""
    count = f"{standing.stale} of {standing.rows} rows of `{standing.kind}.json`"
    commands = ", ".join(f"`{command}`" for command in standing.commands)
    return f"\n{count} were made by earlier code or of files since replaced; {commands} makes them again.\n"


def _pedigree(standings: Sequence[Standing]) -> str:
    """A row a results file: how many of its rows the code of today has not made, and what makes those."""
    lines = [
        (
            f"`{one.kind}.json`",
            *(f"{count:,}" for count in (one.rows, one.other + one.unknown, one.replaced)),
            ", ".join(f"`{command}`" for command in one.commands),
        )
        for one in standings
    ]
    columns = ("results", "rows", "by earlier code", "of files since replaced", "made again by")
    return markdown(columns, lines, left=1)


_DEMO = "fashion-mini"


def _demo(rows: Rows, _: Row) -> str:
    """The variants of the data set that comes with the project."""
    return _judged([row for row in rows if row["data"] == _DEMO])


_PASS = "+"


def _judged(rows: Rows) -> str:
    columns = ("variant", "accuracy", "drop [95 % interval]", "agreement", "tie-aware", "max abs error")
    lines = [
        (f"`{row['variant']}`", *_compared(row), *_sizes(row), _verdict(row))
        for row in rows
        if _PASS not in row["variant"]
    ]
    return markdown((*columns, "bytes", "gzip", "verdict"), lines, left=1)


def _compared(row: Row) -> Sequence[str]:
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


def _sizes(row: Row) -> Sequence[str]:
    return [f"{row[key]:,}" if key in row else "-" for key in ("bytes", "gzip_bytes")]


def _verdict(row: Row) -> str:
    return str(row["verdict"]) if "drop" in row or row["verdict"] == "reference" else str(row["reason"])


def _by_recipe(rows: Rows) -> Mapping[tuple[str, str], Rows]:
    """The rows of each recipe and data set, those of the demo left out."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row["data"] != _DEMO:
            found.setdefault((row["recipe"], row["data"]), []).append(row)
    return found


def _drops(rows: Rows, _: Row) -> str:
    """A row a recipe, a column a default variant: points of accuracy lost. The demo exports the defaults."""
    defaults = [row["variant"] for row in rows if row["data"] == _DEMO and row["verdict"] != "reference"]
    lines = []
    for (recipe, data), found in _by_recipe(rows).items():
        by_variant = {row["variant"]: row for row in found}
        reference = by_variant["keras-float32"]
        cells = [f"`{recipe}`", data, f"{100 * reference['accuracy']:.2f}"]
        for name in defaults:
            row = by_variant.get(name, {})
            passed = row.get("verdict") == "passed"
            cells.append(f"{100 * row['drop']:+.2f}" if passed else str(row.get("verdict", "-")))
        small = by_variant.get("tflite-int8", {}).get("bytes")
        cells.append(f"{reference['bytes'] / small:.1f}x" if small else "-")
        lines.append(cells)
    columns = ("recipe", "data", "accuracy", *(f"`{name}`" for name in defaults), "`tflite-int8` smaller by")
    return markdown(columns, lines, left=2)


def _export(rows: Rows, _: Row) -> str:
    """All variants of all recipes, a heading a recipe."""
    return "\n".join(
        f"### `{recipe}` on {data}\n\n{_judged(found)}" for (recipe, data), found in _by_recipe(rows).items()
    )


def _passes(rows: Rows, _: Row) -> str:
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
    return markdown((*columns, "gzip smaller by", "verdict"), lines, left=3)


def _bench(rows: Rows, environment: Row) -> str:
    """A heading a recipe: its times, and what targets that take none have counted."""
    recipes: dict[str, dict[_Measured, dict[str, Row]]] = {}
    for row in rows:
        key = (row["variant"], row["target"], row["threads"])
        recipes.setdefault(row["recipe"], {}).setdefault(key, {})[row["metric"]] = row
    sections = []
    for recipe, found in recipes.items():
        timed = [_times(*one) for one in found.items() if "p50" in one[1]]
        counted = {key: figures for key, figures in found.items() if "p50" not in figures}
        tables = [markdown(_TIMES, timed, left=2)] * bool(timed) + [_counts(counted)] * bool(counted)
        sections.append("\n".join((f"### `{recipe}`\n", *tables)))
    timing = any(row["metric"] == "p50" for row in rows)
    return "\n".join(sections) + (where(environment) if timing else "")


_Measured = tuple[str, str, int]  # variant, target, threads
_TIMES = (
    *("variant", "target", "load", "first run", "p50 [95 % interval]", "p90", "p99", "JPEG to label"),
    *("PNG to label", "runs/s", "MACs", "of peak", "peak RSS"),
)


def _times(key: _Measured, found: Mapping[str, Row]) -> Sequence[str]:
    def show(metric: str, form: str = "{value:.4g}") -> str:
        return form.format(**found[metric]) if metric in found else "-"

    return (
        *(f"`{word}`" for word in key[:2]),
        *map(show, ("load", "first_run")),
        show("p50", "{value:.4g} [{low:.4g}, {high:.4g}]"),
        *map(show, ("p90", "p99", "jpeg_to_label", "png_to_label")),
        *(show(metric, "{value:,.0f}") for metric in ("inferences_per_second", "macs")),
        show("peak_share", "{value:.2g} %"),
        show("peak_rss", "{value:.1f} MiB"),
    )


def _counts(counted: Mapping[_Measured, Mapping[str, Row]]) -> str:
    metrics = list(dict.fromkeys(metric for found in counted.values() for metric in found))

    def number(value: float) -> str:
        return f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:,.4g}"

    def cell(row: Row | None) -> str:
        if row is None:
            return "-"
        value, low, high = (number(row[end]) for end in ("value", "low", "high"))
        return value if row["low"] == row["high"] else f"{value} [{low}, {high}]"

    lines = [
        (*(f"`{word}`" for word in key[:2]), *(cell(found.get(metric)) for metric in metrics))
        for key, found in counted.items()
    ]
    return markdown(("variant", "target", *(m.replace("_", " ") for m in metrics)), lines, left=2)


_RATIO = "{ratio:.3f} [{ratio_low:.3f}, {ratio_high:.3f}]"


def _compare(rows: Rows, environment: Row) -> str:
    told = [
        {
            **row,
            "true": f"{row['slow_down']:.0%}" if row["slow_down"] else "none",
            "share": row["found"] / row["comparisons"],
            "interval": _RATIO.format(**row) if "ratio" in row else "-",
        }
        for row in rows
    ]
    return table(
        "machine | true slow-down | comparisons | found | B to A, median [range]",
        "{machine} | {true} | {comparisons:,} | {found:,} ({share:.1%}) | {interval}",
        told,
        left=1,
    ) + "\n{cpu}, {cores} cores, load {load_1min:.1f} at the start.\n".format(**environment)


def _transfer(rows: Rows, _: Row) -> str:
    """A row for each way, and how many times faster features are."""
    plain = {row["data"]: row["seconds_ten_epochs"] for row in rows if row["way"] == "plain"}
    return table(
        "data | way | epochs | seconds | seconds for all epochs | times faster | test accuracy",
        "{data} | {way} | {epochs} | {seconds:.1f} | {seconds_ten_epochs:.0f} | {faster:.1f} | "
        "{test_accuracy:.4f}",
        [{**row, "faster": plain[row["data"]] / row["seconds_ten_epochs"]} for row in rows],
        left=2,
    )


def _proof(rows: Rows, _: Row) -> str:
    return table(
        "recipe | images a variant | export | conversion | inference | ratio [range] | at most",
        "`{recipe}` | {images:,} | {export_seconds:.1f} s | {conversion_seconds:.1f} s | "
        "{inference_seconds:.1f} s on one of {cores} cores | "
        "{ratio:.2f} [{ratio_low:.2f}, {ratio_high:.2f}] | {limit:.2f}",
        rows,
        left=1,
    )


def _runtime(rows: Rows, environment: Row) -> str:
    """Ratios with their limits, and why a limit is missed."""
    told = [{**row, "told": verdict(row)} for row in rows]
    return (
        table(
            "what | against | ratio [95 % interval] | limit | met",
            f"{{name}} | {{against}} | {_RATIO} | {{sense}} {{limit:g}} | {{told}}",
            told,
            left=2,
        )
        + f"\n{environment['cpu']}, {environment['cores']} cores; {versions(environment)}.\n"
    )


_RENDERERS: Mapping[str, tuple[str, Callable[[Rows, Row], str]]] = {
    "train": ("train", trainings.train),
    "choices": ("choices", trainings.choices),
    "demo": ("export", _demo),
    "drops": ("export", _drops),
    "export": ("export", _export),
    "passes": ("export", _passes),
    "bench": ("bench", _bench),
    "compare": ("compare", _compare),
    "browser": ("browser", rates.browser),
    "transfer": ("transfer", _transfer),
    "proof": ("proof", _proof),
    "guests": ("guests", others.guests),
    "gate": ("gate", rates.gate),
    "repair": ("repair", rates.repair),
    "int4": ("int4", rates.int4),
    "gpu": ("gpu", gpu.gpu),
    "webgpu": ("webgpu", gpu.gpu),
    "reliability": ("reliability", rates.reliability),
    "mutants": ("mutants", mutants.mutants),
    "mutants_each": ("mutants", mutants.each),
    "limit": ("limit", limits.limit),
    "float16": ("float16", limits.float16),
    "peers": ("peers", others.peers),
    "peers_int8": ("peers", others.peers_int8),
    "runtime": ("runtime", _runtime),
    "engines": ("engines", engines.engines),
}


def pages(paths: Iterable[Path]) -> list[Path]:
    """The files, and the Markdown files of the folders, that hold tables."""
    files = [file for path in paths for file in (sorted(path.rglob("*.md")) if path.is_dir() else [path])]
    return [file for file in files if _TABLE.search(file.read_text(encoding="utf-8"))]


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("paths", type=Path, nargs="+")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args(words)
    stale = 0
    now = None if arguments.check else standings(arguments.results)
    for page in pages(arguments.paths):
        text = page.read_text(encoding="utf-8")
        made = render(text, arguments.results, now if page.name != README else None)
        if made == (_NOTE.sub("", text) if arguments.check else text):
            continue
        stale += 1
        if arguments.check:
            console.complain(f"expected the tables that {arguments.results} gives in {page}, got others")
        else:
            write_file(page, made.encode("utf-8"))
            console.say(f"wrote {page}")
    return 1 if stale and arguments.check else 0


if __name__ == "__main__":
    script.run(main)
