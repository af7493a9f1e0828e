"""What makes the rows of each results file: the modules that decide them, and the command.

    python -m edgewright.benchmarks.figures.pedigree.kinds KIND FILE

writes the code of all parts of such results into a file that make goes by; one that says so already is left.

Exports go by the export code, what it takes of training, and the runtime that files are judged through;
measurements by their own module, all of `benchmarks/` that it imports, and the runtime's timed path. What
only collects, writes, shows or describes figures is left out, so that a table's wording makes no row stale.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgewright.benchmarks.figures import script
from edgewright.benchmarks.figures.pedigree import code
from edgewright.benchmarks.figures.pedigree.code import Part
from edgewright.runtime.disk import files
from edgewright.runtime.errors import UnknownNameError

Row = Mapping[str, Any]

# From a picture to its label, and what is opened for it.
TIMED = tuple(
    f"runtime.{room}"
    for room in (
        "backends",
        "contract",
        "graph",
        "machine.threads",
        "pictures",
        "predictor",
        "preprocess",
        "trust",
    )
)
_RUNS = ("runtime.predictor", "runtime.backends.litert.*", "runtime.backends.ort.*")
_APART = (
    *("benchmarks.commands", "benchmarks.report", "benchmarks.measure.environment"),
    *(f"benchmarks.figures.{name}" for name in ("pedigree", "publish", "render", "script", "tables")),
    *("export.attestation", "export.commands", "export.explaining", "train.commands"),
)
_EXPORT_ROOTS = ("export.exporter", "export.formats.*", "export.passes.*", *_RUNS[1:])
_JUDGED = tuple(f"runtime.{room}" for room in ("backends", "contract", "graph", "pictures", "preprocess"))
_EXPORT = ("export", "train", *_JUDGED)
_TRAIN = ("train", "runtime.contract", "runtime.pictures", "runtime.preprocess")
_FIGURES = "benchmarks.figures"


def _part(name: str, roots: tuple[str, ...], within: tuple[str, ...], rule: str = "") -> Part:
    command = f"make results-{rule or name.split()[0]}"
    return Part(name=name, command=command, roots=roots, within=within, apart=_APART)


def _figure(name: str, *roots: str, within: tuple[str, ...], rule: str = "") -> Part:
    """Of a module or folder of `figures/`, as the part's name begins, or `roots`."""
    own = f"{_FIGURES}.{name.split()[0]}"
    return _part(name, (*(roots or (own, f"{own}.*")),), ("benchmarks", *within), rule)


def _train(row: Row, rule: str = "") -> Part:
    """Of a recipe of ours, or of one that `package.module:name` names."""
    recipe = str(row["recipe"])
    module, named, _ = recipe.removeprefix("edgewright.").partition(":")
    root = module if named else f"train.recipes.{_file(recipe)}"
    return _part(f"train {recipe}", ("train.fitting.fit", root), (*_TRAIN, *([root] if named else [])), rule)


def _export(row: Row) -> Part:
    demo, passes = row.get("data") == "fashion-mini", "+" in row.get("variant", "")
    rule = "demo" if demo else "passes" if passes else "export"
    return _part("export", _EXPORT_ROOTS, _EXPORT, rule)


def _bench(row: Row) -> Part:
    target = _file(str(row["target"]).partition(":")[0]).removesuffix("_webgpu")
    roots = ("benchmarks.runner", f"benchmarks.targets.{target}", f"benchmarks.targets.{target}.*", *_RUNS)
    pages = ("apps.web.*",) if target == "browser" else ()
    return _part(f"bench {target}", (*roots, *pages), ("benchmarks", "apps.web", *TIMED))


def _on_gpu(name: str, target: str) -> Part:
    return _part(name, _bench({"target": target}).roots, ("benchmarks", "apps.web", *TIMED))


def _compare(row: Row) -> Part:
    """What is simulated has no timed path."""
    own = (f"{_FIGURES}.error_rates.comparisons",)
    if row["machine"].startswith("simulated"):
        return _figure("compare simulated", *own, within=())
    return _figure("compare", *own, *_RUNS, within=TIMED)


def _runtime(row: Row) -> Part:
    """Cold starts are those of a command, and an import that of all that comes with it."""
    own = (f"{_FIGURES}.overhead.*", *_RUNS, "runtime.trust", "export.proof.interval")
    if row["name"].startswith(("cold start", "from edgewright")):
        starts = ("runtime.cli", "runtime.commands.predict", "runtime.__main__")
        return _figure("runtime starts", *own, *starts, within=("runtime", "export.proof"))
    return _figure("runtime", *own, within=("export.proof", *TIMED))


def _peers(row: Row) -> Part:
    """A peer's own file, and ours beside which it ran."""
    own = (
        f"{_FIGURES}.peers.{name}"
        for name in ("__main__", "_runner", _file(row["peer"]), "edgewright_runtime")
    )
    return _figure(f"peers {row['peer']}", *own, *_RUNS, within=TIMED)


def _reliability(row: Row) -> Part:
    if row["attack"].startswith("kill-"):
        makers = ("tests.faults.*", "train.fitting.fit", "export.exporter", "benchmarks.runner")
        within = ("tests.faults", "train", "export", "benchmarks.record", "benchmarks.runner", "runtime.disk")
        return _part("reliability kill", makers, within, "faults")
    rule = "fuzz" if row["attack"].startswith("fuzz-") else "reliability"
    return _figure(f"reliability {rule}", f"{_FIGURES}.reliability.*", within=("runtime",), rule=rule)


def _file(name: str) -> str:
    return name.replace("-", "_")


_OF: Mapping[str, Callable[[Row], Part]] = {
    "train": _train,
    "export": _export,
    "choices": lambda row: _train(row, "choices"),
    "int4": lambda row: _part("int4", _EXPORT_ROOTS, _EXPORT),
    "bench": _bench,
    "gpu": lambda row: _on_gpu("gpu", "gpu"),
    "webgpu": lambda row: _on_gpu("webgpu", "browser"),
    "gate": lambda row: _figure("gate", f"{_FIGURES}.error_rates.gate", within=("export.proof",)),
    "repair": lambda row: _figure("repair", f"{_FIGURES}.repair.*", *_EXPORT_ROOTS, within=_EXPORT),
    "reliability": _reliability,
    "guests": lambda row: _figure(
        "guests", f"{_FIGURES}.guests.*", *_RUNS, *_EXPORT_ROOTS, within=(*_EXPORT, *TIMED, "runtime.foreign")
    ),
    "proof": lambda row: _figure("proof", f"{_FIGURES}.proof", *_EXPORT_ROOTS, within=_EXPORT),
    "runtime": _runtime,
    "limit": lambda row: _figure("limit", f"{_FIGURES}.limit.*", *_RUNS, within=TIMED),
    "float16": lambda row: _figure("float16", within=("runtime.backends",)),
    "peers": _peers,
    "engines": lambda row: _figure(
        "engines",
        f"{_FIGURES}.engines",
        f"{_FIGURES}.peers.*",
        "runtime.backends.*",
        *_RUNS,
        within=(*TIMED, "runtime.machine.tuned"),
    ),
    "transfer": lambda row: _figure(
        "transfer", f"{_FIGURES}.transfer", *_train({"recipe": "mnist-mobilenetv2"}).roots, within=_TRAIN
    ),
    "compare": _compare,
    "browser": lambda row: _figure(
        "browser",
        f"{_FIGURES}.error_rates.browser",
        "apps.web.*",
        "benchmarks.targets.browser.*",
        within=("apps.web",),
    ),
    "mutants": lambda row: _part(
        "mutants", (f"{_FIGURES}.mutants", f"{_FIGURES}.mutants.*"), (f"{_FIGURES}.mutants",)
    ),
}
KINDS = tuple(_OF)


def part(kind: str, row: Row) -> Part:
    """What decides a row of `results/KIND.json`, and the command that makes it.

    Raises:
        UnknownNameError: there are no such results.
    """
    if kind not in _OF:
        raise UnknownNameError("kind of results", kind, KINDS)
    return _OF[kind](row)


def all_parts(kind: str, tree: code.Tree) -> list[Part]:
    """What rows of such results may be made by: a part for each recipe or target that there is.

    Raises:
        UnknownNameError: there are no such results.
    """
    recipes = [name.rpartition(".")[2] for name in tree.modules("train.recipes")]
    targets = {name.split(".")[2] for name in tree.modules("benchmarks.targets") if "._" not in name}
    peers = [name.rpartition(".")[2] for name in tree.modules("benchmarks.figures.peers") if "._" not in name]
    rows: Mapping[str, list[Row]] = {
        "train": [{"recipe": name} for name in recipes],
        "choices": [{"recipe": name} for name in ("mnist-cnn", "cifar10-cnn", f"{_FIGURES}.choices.others:")],
        "bench": [{"target": name} for name in sorted(targets)],
        "peers": [{"peer": name} for name in peers],
        "compare": [{"machine": name} for name in ("simulated", "this one")],
        "runtime": [{"name": name} for name in ("cold start", "Session.run")],
        "reliability": [{"attack": name} for name in ("onnx-bytes", "fuzz-onnx", "kill-train")],
    }
    return [part(kind, row) for row in rows.get(kind, [{}])]


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kind")
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args(words)
    tree = code.Tree()
    told = "".join(f"{one.name} {tree.code(one)}\n" for one in all_parts(arguments.kind, tree))
    file: Path = arguments.file
    if not file.exists() or file.read_text("utf-8") != told:
        file.parent.mkdir(parents=True, exist_ok=True)
        files.write_file(file, told.encode())
    return 0


if __name__ == "__main__":
    script.run(main)
