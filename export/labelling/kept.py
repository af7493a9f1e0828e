"""What an export leaves for labelling, in a folder beside the bundle: `BUNDLE.pool`.

    candidates.json  a manifest of all variants that passed or could still pass, whose files, recorded scores
                     and evidence lie in the folder too, so that nothing is converted again
    pool.json        what was compared: counts of test and pool for each variant that could still pass
    pictures.npz     the pictures that want a label: those on which the model and such a file part, and some
                     that nobody disputes
    answers.jsonl    what has been answered (`edgewright.export.labelling.answers`)

The folder is written aside and renamed, as bundles are. Answers go by the pixels of a picture: a folder that
is written anew takes over those of the one that it replaces.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.export.proof.figures import Truth
from edgewright.export.proof.pool import AGREEING, Counts, Population, can_pass, mismatch, pool_to_settle
from edgewright.runtime.backends import Scores
from edgewright.runtime.bundle import arrays
from edgewright.runtime.bundle.manifest import MANIFEST, OURS, Bundle, Manifest
from edgewright.runtime.contract.heads import Head
from edgewright.runtime.disk import files, jsonio, outside
from edgewright.runtime.disk.jsonio import JsonObject
from edgewright.runtime.errors import BundleError
from edgewright.train.datasets import Images

CANDIDATES, POOL, PICTURES, ANSWERS = "candidates.json", "pool.json", "pictures.npz", "answers.jsonl"
MOST_QUESTIONS = 2_000  # pictures that anybody labels
_MOST_BYTES = 2**27  # of these
_SCHEMA = 1


def beside(bundle: Path) -> Path:
    """The folder for labelling of the bundle at `bundle`."""
    whole = bundle.absolute()
    return whole.with_name(f"{whole.name}.pool")


def ours(suffixes: Sequence[str]) -> tuple[str, ...]:
    """The patterns of the files that such a folder holds, with model files of `suffixes`."""
    return (CANDIDATES, POOL, PICTURES, ANSWERS, *OURS, *(f"*{s}" for s in suffixes))


@dataclass(frozen=True, kw_only=True)
class Undecided:
    """A variant that labels could let pass: what the test has shown (`test`; `agreeing` of its images are put
    into one class by file and model, `wrong` of these into the wrong one), and the file's class of each image
    of the pool, `(n,)`."""

    name: str
    test: Counts
    agreeing: int
    wrong: int
    classes: NDArray[np.intp]


def consider(
    name: str,
    head: Head,
    reference: tuple[Scores, Scores],
    scores: tuple[Scores, Scores],
    truth: Truth,
    max_drop: float,
    label_error: float,
) -> Undecided | str:
    """See whether labels of the pool could let a variant pass that the test alone does not prove.

    Args:
        head: of classes that exclude each other.
        reference, scores: the model's and the file's, of the test and of the pool, float32 `(n, scores)`.
        truth: the test's classes `(n,)`.

    Returns:
        What to keep of it, or why it is judged on the test alone.
    """
    decided, given = (tuple(head.decisions(part) for part in both) for both in (reference, scores))
    parts = [
        Population(classes=mine, margins=_margins(head, own), disputed=mine != theirs)
        for mine, own, theirs in zip(decided, reference, given, strict=True)
    ]
    if reason := mismatch(*parts):
        return f"judged on the test alone, as the pool is of another kind: {reason}"
    right, kept = decided[0] == truth, given[0] == truth
    alike = decided[0] == given[0]
    test = Counts(images=len(truth), lost=int((right & ~kept).sum()), won=int((kept & ~right).sum()))
    disputed = int(parts[1].disputed.sum())
    pool = Counts(images=len(given[1]), lost=0, won=0, unresolved=disputed)
    if not can_pass(test, pool, disputed, max_drop, label_error, 1):
        return "judged on the test alone, as no labels of this pool could let it pass"
    return Undecided(
        name=name, test=test, agreeing=int(alike.sum()), wrong=int((alike & ~right).sum()), classes=given[1]
    )


def forecast(
    head: Head, reference: Scores, scores: Scores, truth: Truth, max_drop: float, label_error: float
) -> str:
    """How large a pool would let a variant pass, and how many labels of it, if the test shows the true rates;
    empty where none would. Arguments as `consider` takes them, of the test."""
    decided, given = head.decisions(reference), head.decisions(scores)
    right, still = decided == truth, given == truth
    test = Counts(images=len(truth), lost=int((right & ~still).sum()), won=int((still & ~right).sum()))
    found = pool_to_settle(test, int((decided != given).sum()), max_drop, label_error)
    if found is None:
        return ""
    return f"or --pool with about {found[0]:,} unlabelled pictures, of which about {found[1]:,} want a label"


def _margins(head: Head, scores: Scores) -> NDArray[np.float64]:
    best = np.sort(head.probabilities(scores).astype(np.float64), axis=1)
    found: NDArray[np.float64] = best[:, -1] - best[:, -2]
    return found


@dataclass(frozen=True, kw_only=True)
class Questions:
    """Pictures that want a label: uint8 `images` `(n, height, width, channels)`; of each the class of the
    `model` and its `second` best, `(n,)`; the classes of the undecided `files` `(variants, n)`; and whether
    nobody disputes it (`agreeing`)."""

    images: Images
    model: NDArray[np.int32]
    second: NDArray[np.int32]
    files: NDArray[np.int32]
    agreeing: NDArray[np.bool_]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """A name for each picture, by its pixels."""
        return tuple(hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest() for image in self.images)

    def candidates(self, place: int) -> tuple[int, ...]:
        """The classes that a picture is taken for; of one that nobody disputes the model's two best."""
        found = {int(self.model[place]), *(int(c) for c in self.files[:, place])}
        return tuple(sorted(found if len(found) > 1 else {*found, int(self.second[place])}))


def choose(
    pool: Images, reference: Scores, head: Head, undecided: Sequence[Undecided], seed: int
) -> tuple[Questions, list[Undecided]]:
    """What to ask: the disputed pictures of all variants once, and some that nobody disputes.

    Variants that dispute more pictures than anybody labels are left out; the others come back.
    """
    model = head.decisions(reference)
    most = min(MOST_QUESTIONS, _MOST_BYTES // max(1, pool[0].nbytes)) - AGREEING
    disputed = np.zeros(len(pool), np.bool_)
    taken = []
    for variant in sorted(undecided, key=lambda variant: int((variant.classes != model).sum())):
        with_it = disputed | (variant.classes != model)
        if with_it.sum() <= most:
            disputed = with_it
            taken.append(variant.name)
    kept = [variant for variant in undecided if variant.name in taken]
    others = np.flatnonzero(~disputed)
    drawn = np.random.default_rng(seed).permutation(others)[:AGREEING]
    places = np.sort(np.concatenate([np.flatnonzero(disputed), drawn]))
    second = np.argsort(-head.probabilities(reference[places]), axis=1, kind="stable")
    runner_up = np.where(second[:, 0] == model[places], second[:, 1], second[:, 0])
    return Questions(
        images=pool[places],
        model=model[places].astype(np.int32),
        second=runner_up.astype(np.int32),
        files=np.array([variant.classes[places] for variant in kept], np.int32).reshape(-1, len(places)),
        agreeing=~disputed[places],
    ), kept


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The folder for labelling, opened: `manifest` of the candidates; `names`, `tests`, `agreeing` and
    `wrong` of the variants that could still pass, as in `Undecided`; `images` of the pool; what a look is
    counted by (`settings`), the SHA-256 of test and pool (`digest`); `bundles` the SHA-256 of manifests that
    the bundle may have."""

    folder: Path
    manifest: Manifest
    questions: Questions
    names: tuple[str, ...]
    tests: tuple[Counts, ...]
    agreeing: tuple[int, ...]
    wrong: tuple[int, ...]
    images: int
    max_drop: float
    label_error: float
    settings: Mapping[str, Any]
    digest: str
    bundles: tuple[str, ...]

    @property
    def bundle(self) -> Bundle:
        """The candidates, as if they were a bundle: for checking files and reading arrays."""
        return Bundle(folder=self.folder, manifest=self.manifest)


def write(
    folder: Path,
    questions: Questions,
    undecided: Sequence[Undecided],
    *,
    max_drop: float,
    label_error: float,
    settings: Mapping[str, Any],
    digest: str,
    bundle: Path,
    former: Path,
) -> None:
    """Complete `folder`, which holds candidates as `assemble` writes a bundle, for labelling.

    Args:
        settings: of the conversion; with the model and the variant's name they say what a look is counted by.
        digest: SHA-256 of test and pool.
        bundle: the folder that becomes the bundle; empty if nothing passed.
        former: the folder for labelling that is replaced, whose answers are taken over.
    """
    (folder / MANIFEST).rename(folder / CANDIDATES)
    sound = {key: getattr(questions, key) for key in ("images", "model", "second", "files", "agreeing")}
    np.savez_compressed(folder / PICTURES, allow_pickle=False, **sound)
    made = bundle / MANIFEST
    told = {
        "schema_version": _SCHEMA,
        "candidates_sha256": files.sha256_of(folder / CANDIDATES),
        "pictures_sha256": files.sha256_of(folder / PICTURES),
        "max_drop": max_drop,
        "label_error": label_error,
        "images": len(undecided[0].classes),
        "settings": dict(settings),
        "digest": digest,
        "bundles": [files.sha256_of(made)] if made.exists() else [],
        "variants": [
            {"name": v.name, "agreeing": v.agreeing, "wrong": v.wrong, **asdict(v.test)} for v in undecided
        ],
    }
    (folder / POOL).write_bytes(jsonio.dump(told))
    if (former / ANSWERS).is_file():
        shutil.copyfile(former / ANSWERS, folder / ANSWERS)


def read(bundle: Path) -> Kept:
    """Open what an export has left for labelling beside `bundle`. Raises `BundleError`."""
    folder = beside(bundle)
    if not (folder / POOL).is_file():
        raise BundleError(
            f"expected pictures to label in {folder}, got none; export with --pool leaves some there where "
            "labels could prove what the test alone does not"
        )
    obj = jsonio.read(folder / POOL, BundleError)
    if obj.integer("schema_version") > _SCHEMA:
        raise BundleError(f"{folder} was written by a newer edgewright; upgrade, or export again")
    manifest = Manifest.from_bytes(
        _whole(folder / CANDIDATES, obj.text("candidates_sha256")), str(folder / CANDIDATES)
    )
    variants = obj.objects("variants")
    max_drop, label_error = obj.number("max_drop"), obj.number("label_error")
    if not 0 <= max_drop < 1 or not 0 <= label_error < 0.5 or not variants:
        raise obj.fail("variants", "some, with a max_drop from 0 up to 1 and a label_error below 0.5")
    names = tuple(variant.text("name") for variant in variants)
    unknown = {*names} - {variant.name for variant in manifest.variants}
    if unknown or len({*names}) < len(names):
        raise obj.fail("variants", f"different ones of {CANDIDATES}")
    path = folder / PICTURES
    return Kept(
        folder=folder,
        manifest=manifest,
        questions=_questions(path, obj.text("pictures_sha256"), manifest, len(names)),
        names=names,
        tests=tuple(_counts(variant) for variant in variants),
        agreeing=tuple(variant.integer("agreeing") for variant in variants),
        wrong=tuple(variant.integer("wrong") for variant in variants),
        images=obj.integer("images", 1),
        max_drop=max_drop,
        label_error=label_error,
        settings=obj.object("settings").data,
        digest=obj.text("digest"),
        bundles=obj.texts("bundles"),
    )


def allow(kept: Kept, sha256: str) -> None:
    """Note that the bundle's manifest may have this SHA-256, before it has."""
    told = jsonio.read(kept.folder / POOL, BundleError).data
    told["bundles"] = [*kept.bundles, sha256]
    files.write_file(kept.folder / POOL, jsonio.dump(told))


def _counts(obj: JsonObject) -> Counts:
    images = obj.integer("images", 1)
    lost, won = obj.integer("lost", 0, images), obj.integer("won", 0, images)
    if lost + won > images:
        raise obj.fail("won", f"at most {images - lost}, as many as are left of {images} images")
    return Counts(images=images, lost=lost, won=won)


def _whole(path: Path, sha256: str) -> bytes:
    """The bytes of a file that is the one that was written. Raises `BundleError`."""
    raw = outside.read(path, BundleError, arrays.MAX_BYTES)
    if hashlib.sha256(raw).hexdigest() != sha256:
        raise BundleError(f"{path} is not the file that {POOL} lists; export again with --pool")
    return raw


def _questions(path: Path, sha256: str, manifest: Manifest, variants: int) -> Questions:
    found = arrays.parse(path, _whole(path, sha256))
    count, labels = len(np.atleast_1d(found.get("model", np.empty(0)))), len(manifest.labels)
    asked = Questions(
        images=arrays.check(found, "images", (count, *manifest.input.shape), np.uint8, path),
        model=arrays.check(found, "model", (count,), np.int32, path),
        second=arrays.check(found, "second", (count,), np.int32, path),
        files=arrays.check(found, "files", (variants, count), np.int32, path),
        agreeing=arrays.check(found, "agreeing", (count,), np.bool_, path),
    )
    for classes in (asked.model, asked.second, asked.files):
        if classes.size and not 0 <= classes.min() <= classes.max() < labels:
            raise BundleError(f"expected classes from 0 to {labels - 1} in {path}, got others")
    if (asked.model == asked.second).any() or (asked.agreeing & (asked.files != asked.model).any(0)).any():
        raise BundleError(f"{path} contradicts itself; export again with --pool")
    return asked
