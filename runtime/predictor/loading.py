"""Opens a bundle, or a lone model file: which variant, which engine, in which process."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from edgewright.runtime import backends, trust
from edgewright.runtime.backends import Backend, ModelFile, Session
from edgewright.runtime.contract import UNPROVEN, ModelContract
from edgewright.runtime.contract.heads import NUMBERS
from edgewright.runtime.disk import outside
from edgewright.runtime.errors import (
    BundleError,
    InputError,
    MissingExtraError,
    UnprovenWarning,
)
from edgewright.runtime.predictor.predictor import Predictor
from edgewright.runtime.preprocess import MAX_PIXELS

if TYPE_CHECKING:
    from edgewright.runtime.bundle.manifest import Bundle, VariantEntry
    from edgewright.runtime.machine.tuned import Choice
    from edgewright.runtime.signing import Policy

Threads: TypeAlias = int | Literal["auto"]
_FASTEST = "fastest"


def load(
    path: str | os.PathLike[str],
    *,
    threads: Threads = 1,
    variant: str | None = None,
    backend: str | None = None,
    engine: str | None = None,
    may: str | None = None,
    labels: Sequence[str] | None = None,
    input_range: tuple[float, float] | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    head: str | None = None,
    threshold: float | None = None,
    size: tuple[int, int] | None = None,
    isolate: bool = False,
    max_pixels: int = MAX_PIXELS,
    require_signature: Policy | None = None,
) -> Predictor:
    """Open a bundle, or one .tflite or .onnx file.

    Args:
        path: a bundle folder or a model file.
        threads: threads of the interpreter; "auto" measures once which count is fastest here (0.1 s) and
            remembers it in the user's cache folder.
        variant: which of a bundle's variants; by default the recommended one that an installed
            interpreter can run (see `recommended`). One that is not proven is taken by its name alone.
        backend: the only backend to use, `litert`, `ort` or `openvino`; by default the one that takes the
            file, of the first two.
        engine: such a backend with the device and the arithmetic it computes with, `BACKEND[:DEVICE]
            [@ARITHMETIC]`: `ort:CUDAExecutionProvider`, `openvino:GPU@f16`; or "fastest", of a bundle: the
            variant, engine and threads that `edgewright tune` found fastest on this machine, in exact
            arithmetic.
        may: with "fastest": an arithmetic of fewer bits that may be taken too, `bf16` or `f16`, where it
            passed when the bundle was tuned.
        labels, input_range: for a file that carries no contract, as far as its own metadata do not say it: a
            label a class, in their order, and what the network wants pixels brought to, such as (0, 1) or
            (-1, 1). What else had to be assumed is in `Predictor.assumptions`.
        mean, std: in place of `input_range`: the network wants `(pixel / 255 - mean) / std`, one number or
            one a channel, as torchvision states them.
        head, threshold: of such a file: what its scores are, `softmax`, `logits`, `sigmoid`,
            `sigmoid-logits` or `embedding`, by default what the operator says that gives them; and the
            probability above which a sigmoid is a yes.
        size: of such a file: height and width, if it takes pictures of any.
        isolate: keep the interpreter in a process of its own, where that of a file that nobody vouched for
            on this machine is in any case (see `edgewright.runtime.trust`).
        max_pixels: what one picture may take of memory while it is decoded, in pixels of 4 bytes, all copies
            counted: 179 million (683 MiB) by default. Larger JPEGs pass, as they are scaled while decoded.
        require_signature: of a bundle: who has to have signed it: a public key (a PEM file or its bytes), or
            `SignedBy`. The whole folder is held against what was signed; that takes the extra `verify`.

    Raises:
        SignatureError: the bundle is not signed by that one, or not as it was signed.
        BundleError, ModelFileError: damaged or foreign files, or one that its interpreter does not survive.
        UnknownNameError: no such variant or backend.
        MissingExtraError: no interpreter for the file.
        InputError: arguments that do not go together, a bundle in which nothing is proven, or one that was
            not tuned with what is installed here.

    Warns:
        UnprovenWarning: the file was written though it is not proven.
    """
    path = Path(path)
    if threads != "auto" and not (isinstance(threads, int) and 1 <= threads <= 1024):
        raise InputError(f"expected 1 to 1024 threads or 'auto', got {threads}")
    if engine is not None or may is not None:
        backend = _asked_for(path, engine, may, backend, variant, threads)
    vouched = require_signature is not None
    wanted = partial(_found, path, variant, backend, may, require_signature)
    path, raw, expected, choice = outside.settled(path, wanted)
    if choice is not None:
        backend, threads = choice.engine, choice.threads
    reader = backends.for_path(path, backend)
    file = reader.read(path) if raw is None else reader.parse(path, raw)
    contract = file.contract(whole=trust.is_known(file.sha256, reader))
    if expected is not None and contract != expected:
        raise BundleError(
            f"{path} does not hold what the manifest says of '{expected.variant}'; export the bundle again"
        )
    if contract is None:
        from edgewright.runtime import foreign

        given = foreign.Given(
            labels=labels,
            input_range=input_range,
            mean=mean,
            std=std,
            head=head,
            threshold=threshold,
            size=size,
        )
        opener = cache(partial(_opener, reader, file, threads, backend, isolate))
        adopted = foreign.adopt(file, given, reader.graph(file), lambda: opener()())
        return Predictor(adopted.contract, adopted.session, adopted.reopen, adopted.assumptions, max_pixels)
    named = None if labels is NUMBERS else labels
    if (named, input_range, mean, std, head, threshold, size) != (None,) * 7:
        raise InputError(f"{path} carries its own labels, scaling and head; leave them out")
    if not contract.is_proven:
        warnings.warn(f"{path} is {contract.verdict}: {UNPROVEN}", UnprovenWarning, stacklevel=2)
    reopen = _opener(reader, file, threads, backend, isolate, vouched)
    predictor = Predictor(contract, reopen(), reopen, max_pixels=max_pixels)
    predictor.choice = choice
    return predictor


def _asked_for(
    path: Path,
    engine: str | None,
    may: str | None,
    backend: str | None,
    variant: str | None,
    threads: Threads,
) -> str:
    """The engine by its name, or "fastest". Raises `InputError`: what does not go together."""
    if engine is None:
        raise InputError(f"expected engine='{_FASTEST}' with may='{may}', got no engine")
    if backend is not None:
        raise InputError(f"expected a backend or an engine, got backend '{backend}' and engine '{engine}'")
    if engine != _FASTEST:
        if may is not None:
            raise InputError(f"expected engine='{_FASTEST}' with may='{may}', got engine='{engine}'")
        return engine
    if variant is not None or threads != 1:
        raise InputError(f"expected engine='{_FASTEST}' to choose variant and threads; leave them out")
    if not path.is_dir():
        raise InputError(f"expected a bundle folder with engine='{_FASTEST}', got {path}")
    return engine


class _Found(NamedTuple):
    """The path of the model file; of a bundle also its bytes, what the manifest says of it, and what was
    found fastest where that was asked for."""

    path: Path
    raw: bytes | None = None
    expected: ModelContract | None = None
    choice: Choice | None = None


def _found(
    path: Path, variant: str | None, backend: str | None, may: str | None, policy: Policy | None
) -> _Found:
    if path.is_dir() or policy is not None:
        from edgewright.runtime.bundle.manifest import MANIFEST, Bundle

        signed = None
        if policy is not None:
            from edgewright.runtime import signing

            signed = signing.check(path, policy).get(MANIFEST, "")
        bundle, choice = Bundle.open(path, signed), None
        if backend == _FASTEST:
            from edgewright.runtime.machine import tuned

            choice = tuned.fastest(path, bundle.sha256, may)
            variant = choice.variant
        entry = bundle.variant(variant) if variant is not None else recommended(bundle, backend)
        return _Found(*bundle.read(entry.file), bundle.manifest.contract(entry.name), choice)
    if variant is not None:
        raise InputError(f"expected a bundle folder to choose variant '{variant}' from, got {path}")
    if not path.exists():
        raise InputError(f"expected a bundle folder or a model file, got {path}, which does not exist")
    return _Found(path)


def recommended(bundle: Bundle, backend: str | None = None) -> VariantEntry:
    """The variant that `load` takes here: of those that are proven that of the best rank, and of such the
    smallest file.

    Raises:
        MissingExtraError: no interpreter for any variant.
        InputError: none is proven, or `backend` runs none.
    """
    missing: MissingExtraError | None = None
    only = None if backend is None else backends.get(backend)
    proven = [entry for entry in bundle.manifest.variants if entry.parity.is_proven]
    if not proven:
        names = ", ".join(entry.name for entry in bundle.manifest.variants)
        raise InputError(
            f"expected a variant that is proven in {bundle.folder}, got none; name one of: {names}"
        )
    for entry in sorted(proven, key=lambda entry: (entry.rank, entry.file.bytes)):
        if only is not None and Path(entry.file.file).suffix.lower() not in only.suffixes:
            continue
        reader = only or backends.for_path(Path(entry.file.file))
        if reader.available():
            return entry
        missing = MissingExtraError(f"an interpreter for {entry.file.file}", reader.extra)
    raise missing or InputError(f"expected a variant that '{backend}' runs in {bundle.folder}, got none")


def _opener(
    reader: Backend,
    file: ModelFile,
    threads: Threads,
    backend: str | None,
    isolate: bool,
    vouched: bool = False,
) -> Callable[[], Session]:
    """What opens the file, in this process or in one of its own; `vouched` if its signature was verified."""

    def open_with(count: int) -> Session:
        return trust.open_session(reader, file, count, backend, isolate=isolate, vouched=vouched)

    if threads == "auto":
        from edgewright.runtime.machine.threads import choose

        threads = choose(file.sha256, reader.module, open_with)
    return partial(open_with, threads)
