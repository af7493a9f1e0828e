"""The engine that `edgewright tune` chooses beside each interpreter's own API, on the same files.

    python -m edgewright.benchmarks.figures.engines BUNDLE… --out DIR [--openings 7]

A bundle is tuned on one thread for latency, and on all cores for throughput. What was chosen is then timed
beside every peer with every proven file that it takes: from a JPEG to the label, with one way to decode for
all; the inference alone; and how many inferences all cores do. Each has a process of its own, all of them
run blocks in turn, and after a first opening those near the fastest are opened anew, since where an
interpreter comes to lie in memory makes it faster or slower for as long as it lives. A ratio is taken within
an opening and has the interval of Wilcoxon's signed-rank test over openings.

A peer that gives another label than the file does by default is listed, and not counted. Exact arithmetic is
held against exact arithmetic, and bfloat16, where the processor has it, against OpenVINO as it comes.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.benchmarks.figures import publish, script
from edgewright.benchmarks.figures.peers import Peer
from edgewright.benchmarks.figures.peers.__main__ import PICTURE_PIXELS, Running, python_of
from edgewright.benchmarks.measure import environment
from edgewright.benchmarks.measure.probe import encode
from edgewright.benchmarks.record.stats import paired_ratio
from edgewright.benchmarks.tuning import images, offered, tuner
from edgewright.runtime import backends, console, plugins, trust
from edgewright.runtime.backends import EXACT
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.contract.heads import Head
from edgewright.runtime.disk import files
from edgewright.runtime.errors import EdgewrightError, InputError
from edgewright.runtime.machine.threads import cores
from edgewright.runtime.machine.tuned import Choice
from edgewright.runtime.predictor import load
from edgewright.runtime.verification import GOLDEN_INPUTS, read_golden

OURS = "_tuned"  # as a peer: its file there
# Which peers compute in which arithmetic, by the names of their files.
PEERS = {EXACT: ("bare-litert", "bare-onnxruntime", "openvino-f32"), "bf16": ("openvino-runtime",)}
WHATS = {"label": "latency", "inference": "latency", "throughput": "throughput"}
OPENINGS, FEWEST = 7, 6  # for an interval
ROUNDS = 5  # blocks of each in one opening
NEAR = 1.3  # of the fastest in the first opening: who is slower is not opened again
WITHIN = 1.02  # of the best peer, and below a millisecond
WITHIN_MS = 0.001  # more than it
_PEERS = "edgewright.benchmarks.figures.peers"
Row = Mapping[str, Any]


class Timed(Running):
    """A peer, or ours with an engine, with one file, in a process of its own."""

    RUNNER = "_engines.py"

    @property
    def name(self) -> str:
        return f"{self.peer} {self.variant}"


@dataclass(frozen=True, kw_only=True)
class One:
    """What is opened: `job` as the process takes it; `right` are the labels recorded for the file."""

    peer: str
    variant: str
    python: str
    job: Mapping[str, Any]
    right: Sequence[int]


def rows_of(folder: Path, openings: int, options: tuner.TuneOptions) -> list[Row]:
    """The rows of one bundle.

    Raises:
        InputError: its pictures have several labels, or none.
    """
    bundle = Bundle.open(folder)
    manifest = bundle.manifest
    head = Head(kind=manifest.head, count=manifest.scores, threshold=manifest.threshold)
    if head.kind not in ("softmax", "logits"):
        raise InputError(f"expected a bundle of classes that exclude each other, got {head.kind} in {folder}")
    for entry in manifest.variants:
        trust.remember(bundle.path(entry.file))
    golden = read_golden(bundle)[GOLDEN_INPUTS]
    made: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        given = _given(golden, Path(scratch))
        right = {what: labels(bundle, given, what) for what in WHATS}
        for purpose in dict.fromkeys(WHATS.values()):
            console.complain(f"{manifest.name}: tuned for {purpose}")
            found = tuner.tune(folder, dataclasses.replace(options, purpose=purpose, threads=(1,)))
            for arithmetic, choice in found.record.choices.items():
                for what in (what for what, of in WHATS.items() if of == purpose):
                    common = {"what": what, "threads": cores() if what == "throughput" else 1, **given}
                    ones = [
                        _ours(bundle, choice, common, right[what]),
                        *_peers(bundle, arithmetic, common, right[what]),
                    ]
                    told = compared(ones, openings)
                    made.append(
                        {
                            "recipe": manifest.name,
                            "what": what,
                            "arithmetic": arithmetic,
                            "engine": choice.engine,
                            "variant": choice.variant,
                            "threads": common["threads"],
                            **told,
                            "file_sha256": bundle.variant(choice.variant).file.sha256,
                        }
                    )
    return made


def _given(golden: Any, folder: Path) -> dict[str, Any]:
    """The images as files: JPEGs as a camera gives them, and pixels."""
    pictures = []
    for number, image in enumerate(golden):
        place = folder / f"{number}.jpeg"
        place.write_bytes(encode(image, "jpeg", PICTURE_PIXELS))
        pictures.append(str(place))
    np.save(folder / "pixels.npy", golden)
    return {"pictures": pictures, "pixels": str(folder / "pixels.npy")}


def labels(bundle: Bundle, given: Mapping[str, Any], what: str) -> dict[str, list[int]]:
    """Of each proven file the labels that it gives by default here: of pixels those that were recorded, as
    `verify` sees to; of pictures, which JPEG has changed, what its own interpreter says."""
    found = {}
    for entry in (entry for entry in bundle.manifest.variants if entry.parity.is_proven):
        if what != "label":
            found[entry.name] = read_golden(bundle)[entry.name].argmax(1).tolist()
            continue
        with load(bundle.folder, variant=entry.name) as predictor:
            found[entry.name] = [predictor.predict(picture, k=1)[0].index for picture in given["pictures"]]
    return found


def _model(bundle: Bundle, variant: str) -> dict[str, Any]:
    wanted = bundle.manifest.input
    return {
        "path": str(bundle.path(bundle.variant(variant).file).absolute()),
        **{key: getattr(wanted, key) for key in ("height", "width", "channels", "fit", "resample")},
    }


def _ours(
    bundle: Bundle, choice: Choice, common: Mapping[str, Any], right: Mapping[str, Sequence[int]]
) -> One:
    job = {**common, "model": _model(bundle, choice.variant) | {"engine": choice.engine}}
    own = right[choice.variant]
    return One(peer=OURS, variant=choice.variant, python=sys.executable, job=job, right=own)


def _peers(
    bundle: Bundle, arithmetic: str, common: Mapping[str, Any], right: Mapping[str, Sequence[int]]
) -> list[One]:
    found = []
    for name in PEERS.get(arithmetic, ()):
        peer: Peer = plugins.get(_PEERS, name, "PEER")
        python = sys.executable if environment.version(peer.package) else python_of(peer)
        if python is None:
            console.complain(f"{name} is not measured: {peer.package} is not installed")
            continue
        for entry in bundle.manifest.variants:
            if entry.parity.is_proven and entry.name.rpartition("+")[2].startswith(tuple(peer.formats)):
                job = {**common, "model": _model(bundle, entry.name)}
                found.append(
                    One(peer=name, variant=entry.name, python=python, job=job, right=right[entry.name])
                )
    return found


def compared(ones: Sequence[One], openings: int) -> Row:
    """The first of `ones`, ours, against the best of the others whose labels are right.

    Raises:
        EdgewrightError: ours does not run, or no peer does.
    """
    first, seen, failed = opened(ones)
    places = list(range(1, len(ones)))
    odd = {
        i: f"{ones[i].peer} {ones[i].variant}: "
        + (failed[i] or f"{_alike(ones[i], seen[i])} of {len(seen[i])} labels")
        for i in places
        if failed[i] or _alike(ones[i], seen[i]) < len(seen[i])
    }
    counted = [i for i in places if i not in odd]
    if not counted:
        raise EdgewrightError(
            f"expected a peer that gives the labels of the file by default, got: {'; '.join(odd.values())}"
        )
    best = min(first[i] for i in counted)
    met = [0, *(i for i in counted if first[i] <= NEAR * best)]
    taken = [opened([ones[i] for i in met])[0] for _ in range(openings)]
    ratios = {i: paired_ratio([one[place] / one[0] for one in taken]) for place, i in enumerate(met) if place}
    nearest = min(ratios, key=lambda i: ratios[i].value)
    ratio = ratios[nearest]
    ours_ms = statistics.median(one[0] for one in taken) / 1e6
    verdict = publish.verdict(ratio, 1 / WITHIN, "at least")
    if verdict != "met" and ours_ms < 1:  # a microsecond more than the best peer takes is nothing there
        more = [ours_ms * (1 - end) <= WITHIN_MS for end in (ratio.low, ratio.high)]
        verdict = "met" if all(more) else "not told apart" if any(more) else verdict
    return {
        "best_peer": f"{ones[nearest].peer} {ones[nearest].variant}",
        **publish.ratio(ratio, 4),
        "ours_ms": round(ours_ms, 6),
        "met": verdict == "met",
        "verdict": verdict,
        "not_counted": list(odd.values()),
    }


def _alike(one: One, labels: Sequence[int]) -> int:
    return sum(a == b for a, b in zip(one.right, labels, strict=True))


def opened(ones: Sequence[One]) -> tuple[list[float], list[Sequence[int]], list[str]]:
    """One opening of all: what each takes, nanoseconds a picture; its labels; why it failed.

    Raises:
        EdgewrightError: the first does not run.
    """
    with contextlib.ExitStack() as stack:
        running = []
        for one in ones:
            timed = Timed(one.peer, one.variant, one.python, one.job)
            stack.callback(timed.close)
            running.append(timed)
        taken: list[list[float]] = [[] for _ in running]
        for count in range(-1, ROUNDS):
            order = list(enumerate(running))
            for place, timed in order[:: 1 if count % 2 else -1]:
                value = math.nan if timed.failed else timed.round()
                if count >= 0:
                    taken[place].append(value)
        if running[0].failed:
            raise EdgewrightError(f"{running[0].name}: {running[0].failed}")
        return (
            [statistics.median(values) for values in taken],
            [timed.labels for timed in running],
            [timed.failed for timed in running],
        )


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m edgewright.benchmarks.figures.engines", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("bundles", type=Path, nargs="+", metavar="BUNDLE")
    parser.add_argument(
        "--openings", type=int, default=OPENINGS, help="how often all are opened anew (default: %(default)s)"
    )
    parser.add_argument(
        "--images",
        nargs="*",
        default=[],
        metavar="NAME=PATH",
        help="of bundles whose name begins with NAME: images to judge bfloat16 on, as of edgewright tune",
    )
    parser.add_argument("--quick", action="store_true", help="tune with few blocks: to try it out")
    parser.add_argument("--out", type=Path, required=True, help="the folder for engines.json")
    arguments = parser.parse_args(words)
    if arguments.openings < FEWEST:
        raise InputError(f"expected at least {FEWEST} openings, for an interval, got {arguments.openings}")
    pools = dict(word.partition("=")[::2] for word in arguments.images)
    surroundings = environment.describe()
    surroundings["versions"] |= {"openvino": environment.version("openvino")}
    reduced = any(backends.get(name).arithmetic != EXACT for name in offered.engines()[0])
    rows: list[Row] = []
    for folder in arguments.bundles:
        manifest = Bundle.open(folder).manifest
        given = next((path for name, path in pools.items() if manifest.name.startswith(name)), None)
        pool = images.read(Path(given), manifest) if given and reduced else None
        options = tuner.TuneOptions(images=pool)
        if arguments.quick:
            options = dataclasses.replace(
                options, rounds=6, turns=2, warmup_seconds=0.05, block_seconds=0.002
            )
        judged = {} if pool is None else {"data_sha256": files.sha256_of(Path(given or ""))}
        for row in rows_of(folder, arguments.openings, options):
            show(row)
            rows.append({**row, **judged})
        publish.write(arguments.out / "engines.json", surroundings, rows)  # what follows takes minutes
    return 0


def show(row: Row) -> None:
    console.say(
        "{recipe} {what} {arithmetic}: {variant} on {engine} {ours_ms:.4g} ms; {best_peer} takes {ratio:.3f} "
        "[{ratio_low:.3f}, {ratio_high:.3f}] of it{missed}".format(
            **row, missed="" if row["met"] else f" ({row['verdict']})"
        )
    )
    for line in row["not_counted"]:
        console.say(f"  not counted: {line}")


if __name__ == "__main__":
    script.run(main)
