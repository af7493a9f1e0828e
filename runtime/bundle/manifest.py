"""The bundle's manifest: which files there are, what they promise, and how they were proven.

A bundle is a folder with `manifest.json`, `golden.npz`, `evidence.npz`, `labels.txt`, a provenance statement,
a bill of materials (older bundles lack some) and one file a variant. Unknown keys are ignored, a newer
`schema_version` is refused, and a file name may not leave the folder.
"""

from __future__ import annotations

import builtins
import dataclasses
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any

from edgewright.runtime.bundle.parity import Judging, ParityReport
from edgewright.runtime.contract import (
    NOT_PROVEN,
    PROVEN,
    SCHEMA_VERSION,
    THRESHOLD,
    ZERO_HASH,
    InputContract,
    ModelContract,
    TensorSpec,
    check_schema,
    read_head,
    stamp,
    stamp_is_right,
)
from edgewright.runtime.disk import digest, files, jsonio, outside
from edgewright.runtime.disk.jsonio import JsonObject
from edgewright.runtime.errors import BundleError, UnknownNameError

MANIFEST = "manifest.json"
GOLDEN = "golden.npz"
EVIDENCE = "evidence.npz"
LABELS = "labels.txt"  # a label a line, for apps that read no manifest
PROVENANCE = "provenance.intoto.json"
SBOM = "sbom.cdx.json"
SIGNATURE = "model.sig"  # as OpenSSF Model Signing calls it: see `edgewright.runtime.signing`
OURS = (MANIFEST, GOLDEN, EVIDENCE, LABELS, PROVENANCE, SBOM, SIGNATURE)  # beside the model files
_MAY_LACK = ("evidence", "slsa_provenance", "sbom")  # keys of files
ARITHMETICS = ("int8", "float32")


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """A file of the bundle: its name in the folder, SHA-256, size in bytes."""

    file: str
    sha256: str
    bytes: int

    @staticmethod
    def of(path: Path) -> FileEntry:
        return FileEntry(file=path.name, sha256=files.sha256_of(path), bytes=path.stat().st_size)

    @staticmethod
    def from_json(obj: JsonObject) -> FileEntry:
        name = obj.text("file")
        if name in ("", ".", "..") or any(c in name for c in "/\\:\0") or name.startswith("."):
            raise obj.fail("file", "the plain name of a file in the bundle's own folder")
        return obj.make(FileEntry, {"file": name})

    def check(self, folder: Path) -> Path:
        """The file's path in `folder`, once its size and SHA-256 are right. Raises `BundleError`."""
        path = _place(folder, self.file)
        with self._opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size != self.bytes:  # which costs nothing to see
                self.compare(path, size, None)
            self.compare(path, size, files.sha256_of(file))
        return path

    def read(self, folder: Path) -> tuple[Path, builtins.bytes]:
        """The file's path in `folder`, and its bytes, which are right. Raises `BundleError`."""
        path = _place(folder, self.file)
        with self._opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size != self.bytes:
                self.compare(path, size, None)
            raw = file.read(self.bytes)
        self.compare(path, len(raw), digest.sha256(raw))
        return path, raw

    def _opened(self, path: Path) -> AbstractContextManager[BufferedReader]:
        name = f"{path}, which {MANIFEST} lists"
        return outside.opened(path, BundleError, outside.MAX_MODEL_BYTES, name)

    def compare(self, path: Path, found_bytes: int, found: str | None) -> None:
        """Raises `BundleError` unless that is the size and SHA-256 of the file."""
        if (found_bytes, found) != (self.bytes, self.sha256):
            raise BundleError(
                f"{path} is damaged: expected {self.bytes} bytes with SHA-256 {self.sha256[:12]}…, "
                f"got {found_bytes}{f' with {found[:12]}…' if found else ''}; copy or export it again"
            )


def _place(folder: Path, name: str) -> Path:
    """Where a file of the bundle is, unread. Raises `BundleError` if that is a link out of the folder."""
    path = folder / name
    # os.path.realpath, unlike Path.resolve, takes a link that leads to itself
    if Path(os.path.realpath(path)).parent != Path(os.path.realpath(folder)):
        raise BundleError(f"expected {path} to be a file of the bundle, got a link that leaves it")
    return path


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far a device's scores may be from the exporting host's, `max_abs` in units of score.

    `kernels` is what computed there, and `machine` the interpreter's version and the kind of processor; where
    either is another, `max_abs_elsewhere` holds. Bundles from before there was `machine` have it empty: then
    `kernels` alone says what is another.
    """

    kernels: str
    max_abs: float
    max_abs_elsewhere: float
    machine: str = ""

    @staticmethod
    def from_json(obj: JsonObject) -> Tolerance:
        return obj.make(Tolerance, {"machine": obj.text("machine") if obj.has("machine") else ""})


@dataclass(frozen=True, kw_only=True)
class VariantEntry:
    """One model file of the bundle.

    `format` and `scheme` are what `name` is made of, behind the `passes`; `arithmetic` is what it mostly
    computes with, `int8` or `float32`; of the variants that can run, the one of the lowest `rank` is
    recommended. `conversion` says which tool made it, what was chosen, and why; `peak_activation_bytes`
    what it holds between its layers at most, None if that is not known; `not_for_gpu` why phones' GPUs are
    known to compute it wrongly, empty if they are not.
    """

    name: str
    format: str
    scheme: str
    arithmetic: str
    rank: int
    file: FileEntry
    gzip_bytes: int
    input: TensorSpec
    output: TensorSpec
    passes: tuple[str, ...] = ()
    peak_activation_bytes: int | None = None
    not_for_gpu: str = ""
    conversion: Mapping[str, Any] = field(default_factory=dict)
    tolerance: Tolerance
    parity: ParityReport

    def to_json(self) -> dict[str, Any]:
        """Its fields in their order, those of `file` among them."""
        found: dict[str, Any] = {}
        for key, value in dataclasses.asdict(self).items():
            found |= value if key == "file" else {key: value}
        return found

    @staticmethod
    def from_json(obj: JsonObject) -> VariantEntry:
        peak = obj.integer("peak_activation_bytes") if obj.has("peak_activation_bytes") else None
        declared = {"arithmetic": obj.choice("arithmetic", ARITHMETICS)} if obj.has("scheme") else {}
        others = {
            **(declared or _implied(obj.text("name"))),
            "file": FileEntry.from_json(obj),
            "input": TensorSpec.from_json(obj.object("input")),
            "output": TensorSpec.from_json(obj.object("output")),
            "tolerance": Tolerance.from_json(obj.object("tolerance")),
            "parity": ParityReport.from_json(obj.object("parity")),
            "peak_activation_bytes": peak,
            "not_for_gpu": obj.text("not_for_gpu") if obj.has("not_for_gpu") else "",
        }
        return obj.make(VariantEntry, others)


def _implied(name: str) -> dict[str, Any]:
    """The same of a bundle written before variants said so: by the name, `PASSES+FORMAT-SCHEME`."""
    format_, _, scheme = name.rpartition("+")[2].partition("-")
    ranked = ("int8", "dynamic-int8", "float16", "float32", "weight-int8")
    return {
        "format": format_,
        "scheme": scheme,
        "arithmetic": "int8" if scheme.startswith(("int8", "dynamic-int8", "int16x8")) else "float32",
        "rank": ranked.index(scheme) if scheme in ranked else len(ranked),
    }


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything a bundle says of itself. `head`, `threshold` and `labels` are as in `ModelContract`;
    `reference` holds the float Keras model's own figures; `refused` the variants that were left out;
    `evidence` is what a report shows of the judging, `slsa_provenance` a statement of what the bundle was
    made of, `sbom` its bill of materials, all of which older bundles lack; `calibration`, `provenance` and
    `versions` are for people."""

    name: str
    input: InputContract
    labels: tuple[str, ...]
    head: str
    threshold: float = THRESHOLD
    judging: Judging = field(default_factory=Judging)
    reference: Mapping[str, Any]
    variants: tuple[VariantEntry, ...]
    refused: tuple[Mapping[str, Any], ...] = ()
    golden: FileEntry
    evidence: FileEntry | None = None
    slsa_provenance: FileEntry | None = None
    sbom: FileEntry | None = None
    calibration: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The manifest as it is written, stamped with its own SHA-256."""
        data = {
            "schema_version": SCHEMA_VERSION,
            "sha256": ZERO_HASH,
            **dataclasses.asdict(self),
            "variants": [variant.to_json() for variant in self.variants],
        }
        for key in _MAY_LACK:
            if data[key] is None:
                del data[key]
        return stamp(jsonio.dump(data))

    @staticmethod
    def from_bytes(raw: bytes, where: str) -> Manifest:
        """Parse and check a manifest. Raises `BundleError`."""
        obj = jsonio.parse(raw, where, BundleError)
        check_schema(obj, BundleError)
        variants = tuple(VariantEntry.from_json(entry) for entry in obj.objects("variants"))
        names = [variant.name for variant in variants]
        if not variants or len(set(names)) < len(names):
            raise obj.fail("variants", "a list of variants with different names")
        reference = obj.object("reference")
        for key in ("samples", "bytes", "gzip_bytes"):
            reference.integer(key)
        reference.number("accuracy")
        head, threshold, labels = read_head(obj)
        others = {
            "input": InputContract.from_json(obj.object("input")),
            "head": head,
            "threshold": threshold,
            "labels": labels,
            "judging": Judging.from_json(obj.object("judging")) if obj.has("judging") else Judging(),
            "golden": FileEntry.from_json(obj.object("golden")),
            "variants": variants,
            "reference": reference.data,
            "refused": tuple(entry.data for entry in obj.objects("refused")),
            **{key: FileEntry.from_json(obj.object(key)) if obj.has(key) else None for key in _MAY_LACK},
            "versions": obj.object("versions").data,
        }
        manifest = obj.make(Manifest, others)
        if not stamp_is_right(raw, obj.text("sha256")):
            raise BundleError(
                f"{where} is damaged: its SHA-256 is not the one it carries; copy or export it again"
            )
        return manifest

    @property
    def besides(self) -> tuple[FileEntry, ...]:
        """The files that are no models."""
        every = (self.golden, *(getattr(self, key) for key in _MAY_LACK))
        return tuple(entry for entry in every if entry is not None)

    @property
    def scores(self) -> int:
        """How many scores every file gives for an image; 0 if the manifest does not say so."""
        return next((variant.output.shape[-1] for variant in self.variants if variant.output.shape), 0)

    @property
    def is_multi_label(self) -> bool:
        return self.head.startswith("sigmoid") and self.scores > 1

    def contract(self, variant: str) -> ModelContract:
        """What the file of a variant says of itself."""
        unproven = any(v.name == variant and v.parity.verdict == NOT_PROVEN for v in self.variants)
        return ModelContract(
            name=self.name,
            variant=variant,
            input=self.input,
            labels=self.labels,
            head=self.head,
            threshold=self.threshold,
            verdict=NOT_PROVEN if unproven else PROVEN,
        )


def labels_file(labels: tuple[str, ...]) -> bytes:
    """The bytes of `LABELS`."""
    return "".join(f"{label}\n" for label in labels).encode("utf-8")


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """An opened bundle folder. The manifest is checked; each file is when it is asked for. `sha256` is the
    manifest's as it was read, empty of a bundle that was read from no folder."""

    folder: Path
    manifest: Manifest
    sha256: str = ""

    @staticmethod
    def open(folder: Path, sha256: str | None = None) -> Bundle:
        """Read a bundle's manifest.

        Args:
            sha256: what its manifest was signed with, where that was checked.

        Raises:
            BundleError: no manifest, a broken one, one of a newer schema, or another than was signed.
        """
        path = _place(folder, MANIFEST)
        if not path.exists():
            raise BundleError(
                f"expected a bundle, got {folder} without {MANIFEST}; make one with edgewright export"
            )
        raw = outside.read(path, BundleError, jsonio.MAX_BYTES)
        found = digest.sha256(raw)
        if sha256 is not None and found != sha256:
            raise BundleError(f"{path} is not as it was signed; copy the bundle again")
        return Bundle(folder=folder, manifest=Manifest.from_bytes(raw, str(path)), sha256=found)

    def variant(self, name: str) -> VariantEntry:
        """Raises `UnknownNameError`."""
        for variant in self.manifest.variants:
            if variant.name == name:
                return variant
        raise UnknownNameError("variant", name, [v.name for v in self.manifest.variants])

    def check(self) -> None:
        """See that every file that the manifest lists is there and whole. Raises `BundleError`."""
        for entry in (*(variant.file for variant in self.manifest.variants), *self.manifest.besides):
            self.path(entry)
        self.check_labels()

    def check_labels(self) -> None:
        """See that `LABELS`, which apps read, says what the manifest says. Raises `BundleError`."""
        path, right = _place(self.folder, LABELS), labels_file(self.manifest.labels)
        if outside.read(path, BundleError, jsonio.MAX_BYTES) != right:
            raise BundleError(f"{path} does not hold the manifest's labels; copy or export it again")

    def path(self, entry: FileEntry) -> Path:
        """The path of a file whose SHA-256 was just checked. Raises `BundleError`."""
        return entry.check(self.folder)

    def read(self, entry: FileEntry) -> tuple[Path, bytes]:
        """A file's path and its bytes, which are the ones that were checked. Raises `BundleError`."""
        return entry.read(self.folder)
