"""LiteRT's GPU accelerator in a process of its own: what it complains of, and what ends it."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from edgewright.benchmarks.agreement import EngineError
from edgewright.benchmarks.targets.gpu import ENGINE, devices, engine, vulkan
from edgewright.benchmarks.targets.gpu.vulkan import Vulkan
from edgewright.runtime import backends, trust
from edgewright.runtime.machine.child import ChildProcess
from edgewright.runtime.trust import process

# What `edgewright doctor` tries interpreters with: the sums of the columns.
SUMS = zlib.decompress(base64.b64decode(backends.get("litert").sample))
PIXELS = np.array([1, 2, 4, 8], np.uint8).reshape(1, 2, 2, 1)
NOISE = """\
INFO: [environment.cc:36] Creating LiteRT environment with options
I0000 00:00:1795325160.732960    4469 environment.cc:532] Selected adapter: SwiftShader Device
WARNING: [npu_registry.cc:34] NPU accelerator could not be loaded and registered: kLiteRtStatusErrorNotFound.
WARNING: [compiler_plugin.cc:312] Failed to load plugin at: x with error: ERROR: [litert/a.cc:259]
└ Could not load shared library x: libopenvino.so.2631: cannot open shared object file

WARNING: [compiled_model.cc:1497] Failed to get buffer requirements for tensor `scores`.
WARNING: Logging before InitGoogle() is written to STDERR
"""
MISMATCH = (
    "W0000 00:00:1795325185.419177    4601 gpu_model_builder.cc:3901] Shape mismatch in GpuModelBuilder\n"
)
SHADER = """\
E0000 00:00:1795326631.898503   30885 environment.cc:105] Validation error: Error while parsing WGSL
  interm_value_link2 = result + second_value;}
"""


def test_complaints_are_what_is_not_said_of_any_file() -> None:
    assert engine.complaints(NOISE) == []
    again = MISMATCH.replace("419177", "419178")
    assert engine.complaints(NOISE + MISMATCH + SHADER + again) == [
        "Shape mismatch in GpuModelBuilder",
        "Validation error: Error while parsing WGSL",
        "interm_value_link2 = result + second_value;}",
    ]


def test_gpu_engine_refuses_what_is_no_model_before_it_starts_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vulkan, "ready", lambda **how: pytest.fail("it was set up"))
    with pytest.raises(EngineError, match="expected a TFLite model"):
        ENGINE.open(b"no model at all")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; os.abort()", "it died of SIGABRT"),
        ("import sys; sys.exit('no accelerator')", "it ended with status 1: no accelerator"),
        ('print(\'{"error": "no GPU"}\', flush=True); input()', "no GPU"),
        (
            "print('{}', flush=True); input(); print('{\"bytes\": 1}\\nx', end='', flush=True)",
            "8 bytes of outputs",
        ),
    ],
)
def test_gpu_process_that_ends_or_lies_is_an_engine_error_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    def start(function: str, words: object, *, reads: object, log: bool) -> ChildProcess:
        return ChildProcess([sys.executable, "-c", f"input()\n{code}"], log=log)

    monkeypatch.setattr(vulkan, "ready", lambda **how: Vulkan(folder=tmp_path, about={}))
    monkeypatch.setattr(process, "start", start)
    with pytest.raises(EngineError) as failed, ENGINE.open(SUMS) as running:
        running.run([PIXELS])
    assert said in str(failed.value)
    assert "\n" not in str(failed.value)


@pytest.fixture
def _set_up() -> None:
    if lacking := ENGINE.missing():
        pytest.skip(f"target gpu needs {lacking}")


@pytest.mark.usefixtures("_set_up")
def test_gpu_that_is_real_gets_vouched_files_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One in software stands for it, as the system's own."""
    folder = vulkan.ready(software=True).folder
    assert folder is not None
    monkeypatch.setattr(devices, "real", lambda: ("A GPU",))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(folder))
    monkeypatch.setenv("VK_ICD_FILENAMES", str(folder / vulkan.DRIVER))
    with ENGINE.open(SUMS) as running:
        assert not running.on_gpu
    with engine.Gpu(vouched=True).open(SUMS) as running:  # such as one operator of a file that is
        assert running.on_gpu
    trust.introduce(hashlib.sha256(SUMS).hexdigest(), backends.get("litert"), "for this test")
    with ENGINE.open(SUMS) as running:
        assert running.run([PIXELS])[0].tolist() == [[5, 10]]
        assert (running.on_gpu, running.device != "unknown") == (True, True)


@pytest.mark.usefixtures("_set_up")
def test_gpus_are_asked_for_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = vulkan.ready(software=True).folder
    monkeypatch.setenv("LD_LIBRARY_PATH", str(folder))
    monkeypatch.setenv("VK_ICD_FILENAMES", f"{folder}/{vulkan.DRIVER}")
    assert devices.real.__wrapped__() == ()  # one in software is none
    cpus = "from edgewright.benchmarks.targets.gpu import devices as d; d._REAL = (4,); print(*d._found())"
    done = subprocess.run([sys.executable, "-P", "-c", cpus], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("SwiftShader")


@pytest.mark.usefixtures("_set_up")
def test_gpu_computes_what_the_cpu_does_in_a_sealed_process() -> None:
    with ENGINE.open(SUMS) as running:
        (scores,) = running.run([PIXELS])
        (twice,) = running.run([2 * PIXELS])
        assert (scores.tolist(), twice.tolist()) == ([[5, 10]], [[10, 20]])
        assert (running.whole, running.said()) == (True, [])
        assert running.nanoseconds > 0
        if not running.on_gpu:
            status = Path(f"/proc/{running._child.pid}/status").read_text()
            assert "\nSeccomp:\t2\n" in status
