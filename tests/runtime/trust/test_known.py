"""Who vouches for a file, where that is kept, and that nothing else opens one in this process."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.export.exporter import Result
from edgewright.runtime import backends, load, plugins, trust, verify
from edgewright.runtime.errors import MissingExtraError, ModelFileError, OutputError
from edgewright.runtime.trust import isolation
from edgewright.runtime.trust.isolation import IsolatedSession

Run = Callable[..., tuple[int, str, str]]
Refused = Callable[..., str]


def runs_apart(path: Path, **given: Any) -> bool:
    with load(path, **given) as predictor:
        return isinstance(predictor.session, IsolatedSession)


def stranger_apart(path: Path) -> bool:
    return runs_apart(path, labels=["left", "right"])


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were opened in a process of their own."""
    found: list[Path] = []

    class Noting(IsolatedSession):
        def __init__(self, file: backends.ModelFile, threads: int, backend: str | None = None) -> None:
            found.append(file.path)
            super().__init__(file, threads, backend)

    monkeypatch.setattr(isolation, "IsolatedSession", Noting)
    return found


def test_load_an_unknown_file_stays_in_a_process_of_its_own(stranger: Path, cache: Path) -> None:
    for _ in range(2):  # one lucky run is not trust
        with load(stranger, labels=["left", "right"]) as predictor:
            assert isinstance(predictor.session, IsolatedSession)
            pixels = np.array([1, 2, 4, 8], np.uint8).reshape(1, 2, 2, 1)
            assert predictor.session.run(pixels).tolist() == [[5, 10]]
    assert not (cache / "known").exists()


def test_trust_remember_opens_a_file_directly_until_it_is_forgotten(stranger: Path) -> None:
    trust.remember(stranger)
    assert not stranger_apart(stranger)
    trust.forget(stranger)
    assert stranger_apart(stranger)


def test_trust_a_bundle_that_was_exported_here_is_opened_directly(
    exported: tuple[Path, Result], _session_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(_session_cache))
    assert not runs_apart(exported[0] / "tflite-int8.tflite")
    assert not runs_apart(exported[0])
    assert runs_apart(exported[0], isolate=True)


def test_trust_verify_proves_a_file_and_does_not_vouch_for_it(
    exported: tuple[Path, Result], tried: list[Path], bundle: Path
) -> None:
    for path in (*bundle.glob("*.tflite"), bundle / "golden.npz"):
        assert path.exists()
    found = verify(bundle / "tflite-int8.tflite")
    assert [one.status for one in found] == ["ok"]
    assert tried == [bundle / "tflite-int8.tflite"]
    assert runs_apart(bundle / "tflite-int8.tflite")


def test_trust_introduce_takes_the_word_of_who_checked_a_signature(stranger: Path, cache: Path) -> None:
    backend = backends.for_path(stranger)
    file = backend.read(stranger)
    trust.introduce(file.sha256, backend, "signed by a key of ours")
    assert not stranger_apart(stranger)
    (entry,) = (cache / "known").iterdir()
    assert entry.name.startswith(f"{file.sha256}-{backend.module.partition('.')[0]}-")
    assert entry.read_text() == "signed by a key of ours\n"
    assert (cache / "known").stat().st_mode & 0o777 == 0o700


def test_trust_is_of_one_version_of_one_interpreter(stranger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trust.remember(stranger)
    backend = backends.for_path(stranger)
    digest = backend.read(stranger).sha256
    assert trust.is_known(digest, backend)
    monkeypatch.setattr(plugins, "version", lambda package: f"{package}-99.0")
    assert not trust.is_known(digest, backend)
    assert stranger_apart(stranger)
    monkeypatch.setattr(plugins, "version", lambda package: None)
    assert not trust.is_known(digest, backend)
    with pytest.raises(MissingExtraError, match="pip install"):
        trust.remember(stranger)


def test_trust_remember_vouches_for_every_interpreter_that_takes_the_file(stranger: Path) -> None:
    trust.remember(stranger)
    other = backends.get("openvino")
    assert trust.is_known(other.read(stranger).sha256, other) == other.available()
    trust.forget(stranger)
    assert not trust.is_known(other.read(stranger).sha256, other)


def test_trust_version_is_that_of_the_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tinterp").mkdir()
    (tmp_path / "tinterp" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    bare = plugins.version.__wrapped__("tinterp")
    assert bare is not None
    assert bare.startswith("tinterp-0-")
    (tmp_path / "tinterp-1.2.dist-info").mkdir()
    (tmp_path / "other-3.dist-info").mkdir()
    assert plugins.version.__wrapped__("tinterp") == "tinterp-1.2"
    assert plugins.version.__wrapped__("not_installed_here") is None


@pytest.mark.parametrize("harm", ["cache", "folder", "group", "entry", "link", "empty name"])
def test_trust_believes_no_list_that_others_can_write(stranger: Path, cache: Path, harm: str) -> None:
    trust.remember(stranger)
    entries = list((cache / "known").iterdir())
    if harm == "cache":
        cache.chmod(0o777)
    elif harm == "folder":
        (cache / "known").chmod(0o707)
    elif harm == "group":
        (cache / "known").chmod(0o770)
    elif harm == "entry":
        for entry in entries:
            entry.chmod(0o666)
    elif harm == "link":
        (cache / "known").rename(cache / "elsewhere")
        (cache / "known").symlink_to(cache / "elsewhere")
    else:  # as older versions listed them
        for entry in entries:
            entry.rename(entry.with_name(entry.name.partition("-")[0]))
    assert stranger_apart(stranger)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("place", ["known", "known/*"])
def test_trust_believes_no_list_of_another_users(stranger: Path, cache: Path, place: str) -> None:
    trust.remember(stranger)
    for given in cache.glob(place):
        os.chown(given, 12345, 12345)
    assert stranger_apart(stranger)


def test_trust_remember_says_why_it_would_not_be_believed(
    stranger: Path, cache: Path, refused: Refused, run: Run
) -> None:
    trust.remember(stranger)
    cache.chmod(0o777)
    with pytest.raises(OutputError, match=r"no other can write, got mode 777; set EDGEWRIGHT_CACHE"):
        trust.remember(stranger)
    assert not trust.can_list()
    assert "got mode 777" in refused("trust", stranger)
    cache.chmod(0o700)
    assert run("trust", stranger) == (0, f"{stranger} is opened directly from now on\n", "")
    assert "yes: it is opened directly" in run("inspect", stranger)[1]
    assert run("trust", "--forget", stranger)[0] == 0
    assert f"no: it runs in a process of its own; edgewright trust {stranger}" in run("inspect", stranger)[1]


def test_trust_command_takes_a_bundle(bundle: Path, run: Run) -> None:
    status, out, _ = run("trust", bundle)
    assert status == 0
    assert out.count("is opened directly") == len([*bundle.glob("*.tflite"), *bundle.glob("*.onnx")])
    assert not runs_apart(bundle)


def test_trust_lists_only_a_file_that_is_whole(bundle: Path, cache: Path) -> None:
    path = bundle / "onnx-int8.onnx"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    for listing in (lambda: trust.remember(path), lambda: trust.exported(path), lambda: load(path)):
        with pytest.raises(ModelFileError, match="its SHA-256 is not the one it carries"):
            listing()
    assert not (cache / "known").exists()
    with pytest.raises(ModelFileError, match="cannot read"):
        trust.remember(bundle / "missing.onnx")


@pytest.mark.parametrize("file", ["tflite-int8.tflite", "onnx-int8.onnx"])
def test_trust_known_file_starts_no_process_and_imports_nothing_for_one(
    exported: tuple[Path, Result], picture: Path, file: str, fresh: Callable[..., Any]
) -> None:
    trust.remember(exported[0] / file)
    code = """
from edgewright.runtime.cli import main
status = main(sys.argv[1:])
names = ("edgewright.runtime.trust.isolation", "concurrent.futures", "ctypes", "importlib.metadata")
print(*(name in sys.modules for name in names[:2]), file=sys.stderr)
"""
    done = fresh("predict", exported[0] / file, picture, code=code)
    assert done.stderr.split()[0] == "False", done.stderr


def test_trust_does_without_a_cache_that_cannot_be_written(stranger: Path, cache: Path) -> None:
    cache.write_text("a file where a folder should be")
    assert stranger_apart(stranger)
    assert not trust.can_list()
    trust.exported(stranger)  # what was made here works all the same
    with pytest.raises(OutputError, match="set EDGEWRIGHT_CACHE"):
        trust.remember(stranger)


def test_trust_damaged_graph_is_refused_before_any_interpreter_sees_it(
    exported: tuple[Path, Result], tmp_path: Path, tried: list[Path]
) -> None:
    path = Path(shutil.copyfile(exported[0] / "tflite-int8.tflite", tmp_path / "a.tflite"))
    raw = bytearray(path.read_bytes().replace(b"edgewright", b"someoneels"))
    refusals = 0
    for place in range(0, 3000, 7):
        changed = bytearray(raw)
        changed[place] ^= 0x7F
        path.write_bytes(changed)
        with contextlib.suppress(ModelFileError):
            backends.for_path(path).graph(backends.for_path(path).read(path))
            continue
        refusals += 1
        if refusals == 3:
            break
    with pytest.raises(ModelFileError):
        load(path, labels=["a"] * 10)
    assert tried == []
    assert os.listdir(tmp_path) == ["a.tflite"]  # noqa: PTH208
