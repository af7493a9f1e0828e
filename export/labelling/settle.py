"""Judges test and pool together, and writes the bundle of what passes now, without converting again."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.export.attestation import provenance, sbom
from edgewright.export.attestation.provenance import Input
from edgewright.export.labelling import looks
from edgewright.export.labelling.kept import ANSWERS, Kept, allow
from edgewright.export.labelling.session import Session
from edgewright.export.proof import evidence, pool
from edgewright.export.proof.pool import Joint
from edgewright.runtime.bundle import arrays
from edgewright.runtime.bundle.manifest import (
    EVIDENCE,
    GOLDEN,
    LABELS,
    MANIFEST,
    PROVENANCE,
    SBOM,
    FileEntry,
    Manifest,
    VariantEntry,
    labels_file,
)
from edgewright.runtime.disk import digest, files, jsonio, outside
from edgewright.runtime.errors import BundleError
from edgewright.runtime.verification import GOLDEN_BOUNDARY, GOLDEN_INPUTS, GOLDEN_REFERENCE


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What labels have shown of a variant: `joint` of test and pool, None where the test alone counts;
    `passed` or the `reason` why not; `entry` as the bundle has it if it passed."""

    name: str
    joint: Joint | None
    labelled: int
    passed: bool
    reason: str
    entry: VariantEntry


def look_of(kept: Kept, name: str) -> int:
    """Which look at a variant the pool is."""
    return looks.look(_model(kept), name, kept.settings, kept.digest)


def judge(session: Session) -> list[Settled]:
    """Judge all undecided variants with the labels there are. This is a look, and remembered as one."""
    kept = session.kept
    return [_judge(session, i, name) for i, name in enumerate(kept.names)]


def _judge(session: Session, place: int, name: str) -> Settled:
    kept, test = session.kept, session.kept.tests[place]
    look = look_of(kept, name)
    looks.remember(_model(kept), name, kept.settings, kept.digest)
    counts = session.counts(place)
    joint = pool.judge(test, counts, kept.max_drop, kept.label_error, look)
    wrong, answered, wanted = session.agreeing()
    against = pool.contradiction(
        kept.wrong[place], kept.agreeing[place], wrong, answered, wanted, kept.label_error
    )
    disputed = int((kept.questions.files[place] != kept.questions.model).sum())
    differing, repeats = session.repeats()
    told: dict[str, Any] = {
        "images": counts.images,
        "disputed": disputed,
        "lost": counts.lost,
        "won": counts.won,
        "unresolved": counts.unresolved,
        "agreeing": answered,
        "agreeing_contradicted": wrong,
        "repeats": repeats,
        "repeats_differing": differing,
        "look": look,
        "label_error": kept.label_error,
        "limit": joint.limit,
        "drop": joint.drop,
        "drop_low": joint.low,
        "drop_high": joint.high,
    }
    passed = joint.verdict == "passed" and not against
    entry = next(entry for entry in kept.manifest.variants if entry.name == name)
    parity = dataclasses.replace(entry.parity, verdict="passed", reason="", pool=told)
    return Settled(
        name=name,
        joint=None if against else joint,
        labelled=disputed - counts.unresolved,
        passed=passed,
        reason="" if passed else _reason(joint, test.images, counts, disputed, look, against),
        entry=dataclasses.replace(entry, parity=parity) if passed else entry,
    )


def _reason(joint: Joint, test: int, counts: pool.Counts, disputed: int, look: int, against: str) -> str:
    if against:
        return f"not proven: judged on the test alone, as {against}"
    times = "" if look == 1 else f", look {look} at such a file"
    return (
        f"{joint.verdict}: accuracy drop {joint.drop:+.4f}, interval {joint.low:+.4f} to {joint.high:+.4f} "
        f"at {100 * joint.level:.3g} % a side over {test:,} test images and {counts.images:,} of the pool, "
        f"limit {joint.limit:g}; {counts.unresolved} of {disputed} disputed ones have no sure label{times}"
    )


def write(kept: Kept, settled: Sequence[Settled], out: Path, ours: tuple[str, ...]) -> list[str]:
    """Write the bundle at `out` of all that passed, on the test alone or with the pool, and say what is new.

    Nothing is written where that is what the bundle holds already.

    Args:
        ours: patterns of the files of a bundle.

    Raises:
        BundleError: `out` is not the bundle that the pool was made for, or what was kept is damaged.
    """
    undecided = {each.name: each for each in settled}
    entries = [
        undecided[entry.name].entry if entry.name in undecided else entry
        for entry in kept.manifest.variants
        if entry.name not in undecided or undecided[entry.name].passed
    ]
    held = check(kept, out)
    new = [each.name for each in settled if each.passed and each.entry not in held]
    if not entries or not new:
        return []
    with files.new_folder(out, overwrite=True, ours=ours) as (folder, _):
        raw = _fill(kept, entries, settled, folder)
        allow(kept, digest.sha256(raw))
    return new


def check(kept: Kept, out: Path) -> tuple[VariantEntry, ...]:
    """What the bundle at `out` holds already. Raises `BundleError`: it is not the one that the pool was made
    for."""
    path = out / MANIFEST
    if not path.exists():
        return ()
    raw = outside.read(path, BundleError, jsonio.MAX_BYTES)
    if digest.sha256(raw) not in kept.bundles:
        raise BundleError(
            f"expected {out} as the export with this pool has left it, got another bundle; export again with "
            "--pool, which takes over the answers"
        )
    return Manifest.from_bytes(raw, str(path)).variants


def _fill(kept: Kept, entries: Sequence[VariantEntry], settled: Sequence[Settled], folder: Path) -> bytes:
    """Write the part of the candidates that `entries` are into `folder`; gives the manifest's bytes."""
    bundle, manifest = kept.bundle, kept.manifest
    for entry in entries:
        shutil.copyfile(bundle.path(entry.file), folder / entry.file.file)
    names = [entry.name for entry in entries]
    path, golden = arrays.read(bundle, manifest.golden)
    wanted = [GOLDEN_INPUTS, GOLDEN_REFERENCE, *names]
    wanted += [near for name in wanted if (near := f"{GOLDEN_BOUNDARY}{name}") in golden]
    if missing := {*wanted} - {*golden}:
        raise BundleError(f"expected '{min(missing)}' in {path}, got nothing; export again with --pool")
    np.savez_compressed(folder / GOLDEN, allow_pickle=False, **{name: golden[name] for name in wanted})
    if manifest.evidence is not None:
        every = [variant.name for variant in manifest.variants]
        evidence.select(bundle, folder / EVIDENCE, [every.index(name) for name in names])
    (folder / LABELS).write_bytes(labels_file(manifest.labels))
    reasons = {each.name: each.reason for each in settled}
    refused = tuple(
        {**refusal, "reason": reasons.get(str(refusal.get("name")), refusal.get("reason", ""))}
        for refusal in manifest.refused
        if refusal.get("name") not in names
    )
    others = _attest(kept, entries, folder)
    raw = dataclasses.replace(
        manifest,
        **others,
        variants=tuple(entries),
        refused=refused,
    ).to_bytes()
    (folder / MANIFEST).write_bytes(raw)
    return raw


def _attest(kept: Kept, entries: Sequence[VariantEntry], folder: Path) -> dict[str, Any]:
    """The manifest's keys of the files beside the models; those that say what the bundle was made of are
    written, for these models and with the answers."""
    bundle, manifest = kept.bundle, kept.manifest
    models = [entry.file for entry in entries]
    found = {"golden": FileEntry.of(folder / GOLDEN)}
    if manifest.evidence is not None:
        found["evidence"] = FileEntry.of(folder / EVIDENCE)
    if manifest.sbom is not None:
        path, raw = bundle.read(manifest.sbom)
        (folder / SBOM).write_bytes(sbom.with_models(raw, models, str(path)))
        found["sbom"] = FileEntry.of(folder / SBOM)
    if manifest.slsa_provenance is not None:
        path, raw = bundle.read(manifest.slsa_provenance)
        given = kept.folder / ANSWERS
        answers = [Input(name=ANSWERS, sha256=files.sha256_of(given))] if given.is_file() else []
        subjects = [*models, *found.values(), FileEntry.of(folder / LABELS)]
        (folder / PROVENANCE).write_bytes(provenance.with_files(raw, subjects, answers, str(path)))
        found["slsa_provenance"] = FileEntry.of(folder / PROVENANCE)
    return found


def _model(kept: Kept) -> str:
    return str(kept.manifest.reference.get("model_sha256", ""))
