"""The import of TensorFlow: its noise is held back, a failure's words are not."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from edgewright.runtime.errors import MissingExtraError
from edgewright.train.stack import import_keras, keep_freed_memory, quiet_stderr, versions


def test_quiet_stderr_holds_output_back_when_all_goes_well(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_stderr():
        os.write(2, b"from native code\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_quiet_stderr_shows_output_when_the_block_fails(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="broken"), quiet_stderr():
        os.write(2, b"the reason\n")
        raise RuntimeError("broken")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "the reason\nafter\n"


def test_quiet_stderr_adds_no_words_to_a_missing_package(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ImportError), quiet_stderr():
        os.write(2, b"noise\n")
        raise ImportError("tensorflow")
    assert capfd.readouterr().err == ""


def test_quiet_stderr_leaves_no_descriptor_open() -> None:
    before = set(Path("/proc/self/fd").iterdir())
    for failure in (None, ImportError(), ValueError()):
        try:
            with quiet_stderr():
                if failure:
                    raise failure
        except (ImportError, ValueError):
            pass
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_import_keras_without_tensorflow_names_the_command_that_cures_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'edgewright\[train\]'"):
        import_keras()


def test_versions_of_what_is_not_installed_are_said_to_be_so() -> None:
    found = versions("numpy", "no-such-package")
    assert found["numpy"].count(".") == 2
    assert found["no-such-package"] == "not installed"


_STEPS = """
import ctypes, resource
from edgewright.train.stack import keep_freed_memory
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
if KEPT: keep_freed_memory()
def step():
    held = [libc.malloc(4 << 20) for _ in range(8)]
    for place in held: ctypes.memset(place, 1, 4 << 20)
    for place in held: libc.free(ctypes.c_void_p(place))
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10): step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_keep_freed_memory_spares_the_next_step_the_faults_of_fresh_pages() -> None:
    faults = [
        int(subprocess.check_output([sys.executable, "-c", f"KEPT = {kept}\n{_STEPS}"]))
        for kept in (False, True)
    ]
    assert faults[1] < 200 < 50_000 < faults[0]  # eight times 4 MiB are 8,192 pages
    assert keep_freed_memory() is None  # as often as one likes
