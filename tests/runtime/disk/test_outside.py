"""What is no regular file, or too large, is refused before it is read; nobody reads half of two folders."""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.runtime import load, verify
from edgewright.runtime.bundle.manifest import LABELS, MANIFEST, Bundle, FileEntry, labels_file
from edgewright.runtime.disk import files, outside
from edgewright.runtime.errors import BundleError, InputError

SWAPS = """
import shutil, sys, time
from pathlib import Path
from edgewright.runtime.disk import files
one, other, out = map(Path, sys.argv[1:4])
if sys.argv[4] == "apart":
    files.exchange = lambda one, other: False
end = time.monotonic() + float(sys.argv[5])
swaps = 0
while time.monotonic() < end:
    with files.new_folder(out, overwrite=True, ours=("*",)) as (new, _):
        for file in (one, other)[swaps % 2].iterdir():
            shutil.copyfile(file, new / file.name)
    swaps += 1
print(swaps)
"""
SECONDS = 1.5  # of swaps
Make = Callable[[Path], None]


def fifo(path: Path) -> None:
    os.mkfifo(path)


def zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        before = Path.cwd()
        os.chdir(path.parent)  # such a name has 108 bytes at most
        try:
            server.bind(path.name)
        finally:
            os.chdir(before)


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**33)


def folder(path: Path) -> None:
    path.mkdir()


NO_FILES: tuple[Make, ...] = (fifo, zeros, a_socket, sparse, folder)
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="such files are not made there")


@pytest.mark.parametrize("make", NO_FILES)
def test_outside_read_refuses_what_is_no_file_of_that_size_at_once(tmp_path: Path, make: Make) -> None:
    make(tmp_path / "x")
    began = time.monotonic()
    with pytest.raises(BundleError, match=r"^expected a.*/x, (got 8,589,934,592|which is)"):
        outside.read(tmp_path / "x", BundleError, 2**20)
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("name", ["nowhere", "a\0b", "\udc80" * 300])
def test_outside_read_names_what_cannot_be_opened(tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleError, match="cannot read"):
        outside.read(tmp_path / name, BundleError, 2**20)


def test_outside_read_takes_a_file_up_to_the_limit_and_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "b").symlink_to("a")
    assert outside.read(tmp_path / "b", BundleError, 5) == b"12345"
    with pytest.raises(BundleError, match="at most 4 bytes in the picture, got 5"):
        outside.read(tmp_path / "a", BundleError, 4, "the picture")


def test_outside_read_of_a_file_that_says_it_is_empty_ends(tmp_path: Path) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc")
    with pytest.raises(BundleError, match="got more"):
        outside.read("/proc/self/status", BundleError, 10)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["exchanged", "apart"])
@pytest.mark.parametrize("count", [1, 2])
def test_readers_of_a_folder_that_is_replaced_all_the_time_see_the_one_or_the_other(
    how: str, count: int, bundle: Path, tmp_path: Path
) -> None:
    """By one writer or two; bundles differ in every byte that counts, and a reader is given one, whole."""
    one, other, out = bundle, tmp_path / "other", tmp_path / "out"
    _changed(one, other)
    words = [str(one), str(other), str(out), how, str(SECONDS)]
    writers = [
        subprocess.Popen([sys.executable, "-c", SWAPS, *words], stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    names, reads = set(), 0
    while not out.exists():
        time.sleep(0.001)
    while any(writer.poll() is None for writer in writers):
        names.add(outside.settled(out, lambda: _all(Bundle.open(out))))
        reads += 1
    swaps = [int(writer.communicate()[0]) for writer in writers]
    assert min(*swaps, reads) > 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "other", "out"]
    assert len(names) == 2


def test_load_reads_again_if_the_folder_was_replaced_while_it_read(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a bundle without the file that was about to be read."""
    manifest, swapped = Bundle.open(bundle).manifest, []
    kept = next(v for v in manifest.variants if v.name == "tflite-float32")
    read = FileEntry.read

    def late(entry: FileEntry, folder: Path) -> tuple[Path, bytes]:
        if not swapped:
            swapped.append(entry.file)
            with files.new_folder(bundle, overwrite=True, ours=("*",)) as (new, _):
                for name in (kept.file.file, manifest.golden.file, LABELS):
                    shutil.copyfile(bundle / name, new / name)
                one = dataclasses.replace(
                    manifest, variants=(kept,), evidence=None, slsa_provenance=None, sbom=None
                )
                (new / MANIFEST).write_bytes(one.to_bytes())
        return read(entry, folder)

    monkeypatch.setattr(FileEntry, "read", late)
    with load(bundle) as predictor:
        assert predictor.contract.variant == kept.name
    assert swapped != [kept.file.file]
    assert [found.status for found in verify(bundle)] == ["ok"]


def test_settled_gives_up_on_a_folder_that_never_settles(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with pytest.raises(InputError, match="again and again"):
        outside.settled(tmp_path, lambda: files.write_file(path, b""), "x")


def test_settled_leaves_a_failure_of_a_folder_that_stays_to_the_caller(tmp_path: Path) -> None:
    tries = []

    def fails() -> None:
        tries.append(1)
        raise BundleError("damaged")

    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(BundleError, match="damaged"):
            outside.settled(place, fails)
    assert len(tries) == 2


def _all(bundle: Bundle) -> str:
    for entry in (bundle.manifest.golden, *(variant.file for variant in bundle.manifest.variants)):
        bundle.read(entry)
    bundle.check_labels()
    return bundle.manifest.name


def _changed(bundle: Path, other: Path) -> None:
    """The same bundle with other bytes in each of its files, and another name."""
    shutil.copytree(bundle, other)
    manifest = Bundle.open(bundle).manifest
    for entry in (manifest.golden, *(variant.file for variant in manifest.variants)):
        with (other / entry.file).open("ab") as file:
            file.write(b"another")
    variants = tuple(
        dataclasses.replace(variant, file=FileEntry.of(other / variant.file.file))
        for variant in manifest.variants
    )
    golden, labels = FileEntry.of(other / manifest.golden.file), tuple(f"{x}!" for x in manifest.labels)
    changed = dataclasses.replace(manifest, name="another", variants=variants, golden=golden, labels=labels)
    (other / MANIFEST).write_bytes(changed.to_bytes())
    (other / LABELS).write_bytes(labels_file(labels))
