"""Renders the README's tables from `benchmarks/results/*.json`, so that no figure is typed.

    python -m edgewright.benchmarks.readme README.md benchmarks/results

What stands between `<!-- table: NAME -->` and `<!-- end -->` is replaced.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgewright.runtime import console, jsonio
from edgewright.runtime.errors import EdgewrightError, InputError
from edgewright.runtime.files import write_file

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
        found = jsonio.read(results / f"{name}.json", InputError)
        rows = [row.data for row in found.objects("rows")]
        return match[1] + _RENDERERS[name](rows, found.object("environment").data) + match[3]

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


def _export(rows: Rows, _: Mapping[str, Any]) -> str:
    columns = (
        "recipe",
        "data",
        "variant",
        "bytes",
        "gzip",
        "accuracy",
        "drop [95 % interval]",
        "agreement",
        "tie-aware",
        "max abs error",
        "verdict",
    )

    def line(row: Mapping[str, Any]) -> Sequence[str]:
        sizes = [f"{row[key]:,}" if key in row else "-" for key in ("bytes", "gzip_bytes")]
        accuracy = f"{row['accuracy']:.4f}" if "accuracy" in row else "-"
        compared = ["-"] * 4
        if "drop" in row:
            compared = [
                f"{row['drop']:+.4f} [{row['drop_low']:+.4f}, {row['drop_high']:+.4f}]",
                f"{row['agreement']:.4f}",
                f"{row['tie_agreement']:.4f}",
                f"{row['max_abs_error']:.2g}",
            ]
        named = (f"`{row['recipe']}`", row["data"], f"`{row['variant']}`")
        return (*named, *sizes, accuracy, *compared, row["verdict"])

    return _markdown(columns, [line(row) for row in rows], left=3)


def _bench(rows: Rows, environment: Mapping[str, Any]) -> str:
    columns = (
        "recipe",
        "variant",
        "load",
        "first run",
        "p50 [95 % interval]",
        "p90",
        "p99",
        "JPEG to label",
        "PNG to label",
        "peak RSS",
    )
    by_variant: dict[tuple[str, str, str, int], dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        key = (row["recipe"], row["variant"], row["target"], row["threads"])
        by_variant.setdefault(key, {})[row["metric"]] = row
    lines = []
    for (recipe, variant, _, _), found in by_variant.items():

        def ms(metric: str, found: Mapping[str, Mapping[str, Any]] = found) -> str:
            return f"{found[metric]['value']:.4g}"

        p50 = found["p50"]
        lines.append(
            (
                f"`{recipe}`",
                f"`{variant}`",
                ms("load"),
                ms("first_run"),
                f"{p50['value']:.4g} [{p50['low']:.4g}, {p50['high']:.4g}]",
                ms("p90"),
                ms("p99"),
                ms("jpeg_to_label_p50"),
                ms("png_to_label_p50"),
                f"{found['peak_rss']['value']:.1f} MiB",
            )
        )
    first = rows[0]
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items() if version)
    where = (
        f"\nMilliseconds, batch 1, {first['threads']} thread, target `{first['target']}`, "
        f"load {environment['load_1min']:.1f} at the start: "
        f"{environment['cpu']}, {environment['cores']} cores"
        f"{' (virtual machine)' if environment['virtual_machine'] else ''}; {versions}.\n"
    )
    return _markdown(columns, lines, left=2) + where


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


_RENDERERS: Mapping[str, Callable[[Rows, Mapping[str, Any]], str]] = {
    "train": _train,
    "export": _export,
    "bench": _bench,
    "transfer": _transfer,
    "proof": _proof,
    "runtime": _runtime,
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
