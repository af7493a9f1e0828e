"""Our runtime side by side with what a user would pick instead, from JPEG bytes to the best label.

    python -m edgewright.benchmarks.figures.peers BUNDLE… --model MODEL.keras… --out DIR

Each peer and file has a process of its own, in the peer's own Python (`make clients`), on one thread; all of
them are given the bundle's golden images, enlarged to a picture of 500 pixels, in the same rounds, one
after the other: a busy moment of the machine falls on all of them. A round's figure is the median over its
pictures; a ratio is taken within a round, and over rounds it is that of `stats.paired_ratio` with its 95 %
interval. A Keras model is compared with `tflite-float32`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.benchmarks.figures import publish, script
from edgewright.benchmarks.figures.peers import KERAS_FLOAT32, VARIANTS, Peer
from edgewright.benchmarks.measure import environment
from edgewright.benchmarks.measure.probe import encode
from edgewright.benchmarks.record.stats import paired_ratio, percentile
from edgewright.runtime import console, plugins, trust
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.disk import files, jsonio
from edgewright.runtime.errors import CheckpointError, InputError
from edgewright.runtime.machine.child import ChildProcess, Message
from edgewright.runtime.verification import GOLDEN_INPUTS, read_golden

OURS = "edgewright-runtime"
ROUNDS, WARM_UP_ROUNDS = 30, 2
FEWEST_ROUNDS = 6  # for an interval
BUNDLE_SECONDS = 60  # after which a bundle gets no more rounds than the fewest
PICTURE_PIXELS = 500
LIMIT_SECONDS = 120  # for a peer to load a file, and for a round
MOST_OF_A_REASON = 200  # characters
Row = Mapping[str, Any]
_PEERS = "edgewright.benchmarks.figures.peers"
_HERE = Path(__file__).parent
_ONE_THREAD = dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"), "1")


class Running:
    """A peer with one file, in a process of its own; `against` is the file of ours it is compared with.

    `rounds_ns` are the medians of its rounds, `labels` what it sees in each picture. `failed` says why it
    gives no more of them.
    """

    RUNNER = "_runner.py"

    def __init__(self, peer: str, variant: str, python: str, job: Mapping[str, Any]) -> None:
        self.peer, self.variant = peer, variant
        self.against = VARIANTS[0] if variant == KERAS_FLOAT32 else variant
        self.failed = ""
        self.rounds_ns: list[float] = []
        runner, peer_file = _HERE / self.RUNNER, _HERE / f"{peer.replace('-', '_')}.py"
        command = [python, "-P", str(runner), str(peer_file), json.dumps(job)]
        self._child = ChildProcess(command, environment=_ONE_THREAD)
        ready = self._answered(self._child.hear(seconds=LIMIT_SECONDS))
        self.labels: list[int] = ready.get("labels", [])
        self.version: str = ready.get("version", "")

    def round(self) -> float:
        """The median over the pictures of nanoseconds from JPEG to label; not a number where it failed."""
        samples = self._answered(self._child.ask({}, seconds=LIMIT_SECONDS)).get("samples_ns")
        return float(np.median(samples)) if samples else math.nan

    def _answered(self, message: Message | None) -> Mapping[str, Any]:
        """What it said; empty, with `failed` set, if that is that it cannot, or nothing."""
        if message is None:
            status = self._child.status()
            how = signal.Signals(-status).name if status < 0 else f"status {status}"
            self.failed = f"the process ended with {how}"
            return {}
        answer, _ = message
        if "failed" in answer:
            self.failed = " ".join(answer.pop("failed").split())[:MOST_OF_A_REASON]
        return answer

    def close(self) -> None:
        self._child.close()


def python_of(peer: Peer) -> str | None:
    """The interpreter that has the peer; None if none has been installed."""
    if not peer.environment:
        return sys.executable if environment.version(peer.package) else None
    place = Path(os.environ.get("EDGEWRIGHT_CLIENTS") or ".cache/clients").absolute()
    found = place / peer.environment / "bin" / "python"
    return str(found) if found.is_file() else None


def measure(bundle: Bundle, models: Sequence[Path], rounds: int) -> tuple[list[Row], dict[str, str]]:
    """The rows of one bundle, ours first, and the version of each peer by its package.

    Raises:
        InputError: the bundle's pictures are fitted in another way than peers do it.
        CheckpointError: a model without the `checkpoint.json` beside it that says what range it wants.
    """
    wanted = bundle.manifest.input
    if (wanted.fit, wanted.resample) != ("stretch", "bilinear"):
        raise InputError(
            f"expected a bundle whose pictures are stretched with bilinear, as peers do it, got {wanted.fit} "
            f"with {wanted.resample} in {bundle.folder}"
        )
    sources = sources_of(bundle, models)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as started:
        pictures = []
        for number, image in enumerate(read_golden(bundle)[GOLDEN_INPUTS]):
            path = Path(folder, f"{number}.jpeg")
            path.write_bytes(encode(image, "jpeg", PICTURE_PIXELS))
            pictures.append(str(path))
        running: list[Running] = []
        versions: dict[str, str] = {}
        for name in (OURS, *(name for name in plugins.names(_PEERS) if name != OURS)):
            peer: Peer = plugins.get(_PEERS, name, "PEER")
            python = python_of(peer)
            if python is None:
                cure = "make clients" if peer.environment else f"pip install {peer.package}"
                console.complain(f"{name} is not measured: {peer.package} is not installed; {cure}")
                continue
            for variant in (variant for variant in sources if variant.startswith(tuple(peer.formats))):
                one = Running(name, variant, python, {"model": sources[variant], "pictures": pictures})
                started.callback(one.close)
                running.append(one)
                versions[peer.package] = one.version or versions.get(peer.package, "")
        take_turns([one for one in running if not one.failed], rounds, bundle.manifest.name)
    ours = {one.variant: one for one in running if one.peer == OURS}
    sums = {name: files.sha256_of(Path(source["path"])) for name, source in sources.items()}
    rows = [row(bundle.manifest.name, one, ours[one.against]) for one in running]
    return [{**made, "file_sha256": sums[made["variant"]]} for made in rows], versions


def sources_of(bundle: Bundle, models: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """What `Peer.open` is told of the Keras model, if it is given, and of each file, by variant."""
    wanted = bundle.manifest.input
    shape = {"height": wanted.height, "width": wanted.width, "channels": wanted.channels}
    sources: dict[str, dict[str, Any]] = {}
    for entry in bundle.manifest.variants:
        if entry.name in VARIANTS:
            path = bundle.path(entry.file)
            trust.remember(path)
            sources[entry.name] = shape | {"path": str(path.absolute())}
    if VARIANTS[0] in sources and (keras := keras_model(bundle, models)):
        sources[KERAS_FLOAT32] = shape | keras
    return sources


def take_turns(running: Sequence[Running], rounds: int, title: str) -> None:
    """Rounds of all, one after the other; fewer than `rounds` if they take over `BUNDLE_SECONDS`."""
    with console.progress(title, total=rounds * len(running)) as bar:
        start = time.monotonic()
        for count in range(-WARM_UP_ROUNDS, rounds):
            if count >= FEWEST_ROUNDS and time.monotonic() - start > BUNDLE_SECONDS:
                break
            for one in running:
                taken = math.nan if one.failed else one.round()
                if count >= 0:
                    one.rounds_ns.append(taken)
                    bar.advance(note=f"{one.peer} {one.variant}")


def row(recipe: str, theirs: Running, ours: Running) -> Row:
    """A published row; one that failed has the reason and no figures."""
    common = {"recipe": recipe, "peer": theirs.peer, "variant": theirs.variant, "against": theirs.against}
    if theirs.failed or ours.failed:
        return common | {"reason": theirs.failed or ours.failed}
    taken = percentile(theirs.rounds_ns, 50)
    ratio = paired_ratio([a / b for a, b in zip(theirs.rounds_ns, ours.rounds_ns, strict=True)])
    return common | {
        "p50_ms": round(taken.value / 1e6, 6),
        "low_ms": round(taken.low / 1e6, 6),
        "high_ms": round(taken.high / 1e6, 6),
        **publish.ratio(ratio, 4),
        "agreement": float(np.mean(np.array(theirs.labels) == np.array(ours.labels))),
        "images": len(theirs.labels),
        "rounds": len(theirs.rounds_ns),
        "reason": "",
    }


def keras_model(bundle: Bundle, models: Sequence[Path]) -> dict[str, Any] | None:
    """Path and pixel range of the model that the bundle was made from; None, and a line, if it is not given.

    Raises:
        CheckpointError: no `checkpoint.json` beside the model, which says what range it wants.
    """
    expected = bundle.manifest.reference.get("model_sha256")
    for path in models:
        if files.sha256_of(path) == expected:
            checkpoint = jsonio.read(path.with_name("checkpoint.json"), CheckpointError)
            return {"path": str(path.absolute()), "input_range": checkpoint.array("input_range")}
    why = "none of --model is the one it was made from"
    console.complain(f"keras-predict is not measured on {bundle.folder}: {why}")
    return None


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m edgewright.benchmarks.figures.peers", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("bundles", type=Path, nargs="+", metavar="BUNDLE")
    parser.add_argument(
        "--model", type=Path, nargs="+", default=[], help="the checkpoints' model.keras, in any order"
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=ROUNDS,
        help=f"at most so many (default: %(default)s); fewer if a bundle takes over {BUNDLE_SECONDS} s",
    )
    parser.add_argument("--out", type=Path, required=True, help="the folder for peers.json")
    arguments = parser.parse_args(words)
    if arguments.rounds < FEWEST_ROUNDS:
        raise InputError(
            f"expected at least {FEWEST_ROUNDS} rounds, the fewest for an interval, got {arguments.rounds}"
        )
    for model in arguments.model:
        if not model.is_file():
            raise InputError(f"expected --model to be a checkpoint's model.keras, got {model}")
    surroundings = environment.describe()
    rows: list[Row] = []
    for folder in arguments.bundles:
        rows_of_bundle, versions = measure(Bundle.open(folder), arguments.model, arguments.rounds)
        for failed in (made for made in rows_of_bundle if made["reason"]):
            console.complain("{recipe}: {peer} on {variant}: {reason}".format(**failed))
        show(rows_of_bundle)
        rows += rows_of_bundle
        surroundings["versions"] |= {name: version for name, version in versions.items() if version}
    publish.write(arguments.out / "peers.json", surroundings, rows)
    return 0


def show(rows: Sequence[Row]) -> None:
    columns = ("recipe", "peer", "variant", "ms", "95 % interval", "to ours", "95 % interval", "same label")
    forms = ["{recipe}", "{peer}", "{variant}", "{p50_ms:.4g}", "{low_ms:.4g} to {high_ms:.4g}"]
    forms += ["{ratio:.2f}", "{ratio_low:.2f} to {ratio_high:.2f}", "{same} of {images}"]
    same = ({**row, "same": round(row["agreement"] * row["images"])} for row in rows if not row["reason"])
    lines = [[form.format(**row) for form in forms] for row in same]
    console.table("From JPEG bytes to the best label, one thread", columns, lines, left=3)


if __name__ == "__main__":
    script.run(main)
