"""The page as a folder for any host: whole and guarded; what comes back is believed as little as a post."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewright.apps.web import assets
from edgewright.benchmarks.measure import environment
from edgewright.benchmarks.record.measurement import MODES, Plan
from edgewright.benchmarks.record.record import read_records
from edgewright.benchmarks.targets.browser import static, target
from edgewright.benchmarks.targets.browser.work import Work, prepare
from edgewright.export.exporter import Result
from edgewright.runtime import Bundle
from edgewright.runtime.errors import OutputError, TargetError

Run = Callable[..., tuple[int, str, str]]
NAMES = ("tflite-float32", "tflite-int8")


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node_modules of the right names, with engines that are none."""
    folder = tmp_path / "node_modules"
    for package in assets.PACKAGES:
        for name in (*package.files, *package.webgpu):
            file = folder / package.name / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(name.encode())
        (folder / package.name / "package.json").write_text(json.dumps({"version": "1.2.3"}))
    return folder


def test_folder_holds_all_that_the_page_asks_for_and_says_what_it_may_do(
    bundle: Path, run: Run, engines: Path, tmp_path: Path
) -> None:
    out = tmp_path / "page"
    words = ("--target", "browser", "--variants", ",".join(NAMES), "--assets", engines, "--static", out)
    status, said, complaints = run("bench", bundle, *words, "--seconds", "1.2")
    assert (status, complaints) == (0, "")
    assert f"wrote {out}" in said
    assert "--seconds 1.2 --results FILE.json" in said
    assert not bundle.with_name("bundle-bench.json").exists()
    job = json.loads((out / "job.json").read_bytes())
    assert job["take"].endswith("--target browser --seconds 1.2 --results FILE.json")
    assert list(job["files"]) == list(NAMES)
    for variant in job["variants"]:
        assert hashlib.sha256((out / variant["model"]).read_bytes()).hexdigest() == variant["sha256"]
        assert (out / variant["images"]).is_file()
        assert (out / variant["scores"]).is_file()
    for page in ("index.html", "frame.html"):
        text = (out / page).read_text()
        assert "nonce" not in text
        assert "Content-Security-Policy" in text
        for name in re.findall(r'(?:src|href)="([^"]+)"', text):
            assert name.startswith("data:") or (out / name).is_file()
    frame = (out / "frame.html").read_bytes()
    (inline,) = re.findall(rb'<script type="importmap">(.*?)</script>', frame)
    assert base64.b64encode(hashlib.sha256(inline).digest()) in frame
    for script in out.glob("*.js"):
        for name in re.findall(r'from "\./([^"]+)"', script.read_text()):
            assert (out / name).is_file()
    assert (out / "assets" / "onnxruntime-web" / "dist" / "ort.webgpu.min.mjs").is_file()
    assert "Cross-Origin-Embedder-Policy: require-corp" in (out / "_headers").read_text()
    status, _, complaints = run("bench", bundle, *words)
    assert (status, complaints.count("\n")) == (1, 1)
    assert "to be empty or free, got a folder with files" in complaints


@pytest.fixture
def work(exported: tuple[Path, Result]) -> Work:
    return prepare(Bundle.open(exported[0]), NAMES, (MODES["quick"].plan(1, {}),))


@pytest.fixture
def taken(work: Work) -> dict[str, Any]:
    """What a phone gave to take along."""
    blocks = {
        "import": [10**8],
        "load": [10**6],
        "first_run": [10**5],
        "warm_up": [10**5],
        "warm_run": [10**5] * 20,
    }
    return {
        "device": {
            "key": "0123456789ab",
            "name": "Pixel 8",
            "browser": "Chrome 140",
            "system": "Android 16",
            "user_agent": "x",
            "cores": 8,
            "clock_step_ns": 100_000,
            "isolated": False,
            "secure": True,
            "mobile": True,
            "gpu": "",
            "gpu_software": False,
        },
        "whole": True,
        "checks": [
            {"variant": name, "accelerator": "wasm", "scores": work.expected[name].ravel().tolist()}
            for name in NAMES
        ],
        "measurements": [
            {
                "variant": name,
                "accelerator": "wasm",
                "threads": 1,
                "calls_per_sample": 4,
                "queries": 80,
                "samples_ns": blocks,
            }
            for _ in range(6)
            for name in NAMES
        ],
        "files": {entry.name: entry.file.sha256 for entry in work.variants},
        "plans": json.loads(work.files["job.json"])["plans"],  # type: ignore[arg-type]
        "versions": {package.name: package.version for package in assets.PACKAGES},
    }


def test_what_was_taken_along_becomes_rows_of_that_device(
    bundle: Path, run: Run, taken: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "phone.json"
    file.write_text(json.dumps(taken))
    status, said, complaints = run("bench", bundle, "--target", "browser", "--results", file)
    assert (status, complaints) == (0, "")
    assert "Pixel 8 (Chrome 140)" in said
    (record,) = read_records(bundle.with_name("bundle-bench.json"))
    assert set(record.by_key()) == {(name, "browser", 1) for name in NAMES}
    first = record.measurements[0]
    assert first.environment["cpu"] == "Pixel 8 (Chrome 140)"
    assert first.environment["versions"]["@litertjs/core"] == assets.PACKAGES[0].version
    assert first.check is not None
    assert first.check.verdict == "right"


def _other_file(told: dict[str, Any]) -> None:
    told["files"]["tflite-int8"] = "0" * 64


def _no_file(told: dict[str, Any]) -> None:
    told["files"] = {}


def _unnamed(told: dict[str, Any]) -> None:
    del told["files"]["tflite-int8"]


def _longer(told: dict[str, Any]) -> None:
    told["plans"][0]["seconds"] = 5


def _more(told: dict[str, Any]) -> None:
    told["plans"][0]["processes"] = 10**9


def _wordy(told: dict[str, Any]) -> None:
    told["plans"][0]["threads"] = "1"


def _posted(told: dict[str, Any]) -> None:
    told["measurements"][0]["samples_ns"]["load"] = [-1]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_other_file, "it was another file then"),
        (_no_file, "a file of this bundle"),
        (_unnamed, "checks"),
        (_longer, "the same --threads, --mode and --seconds"),
        (_more, "the same --threads, --mode and --seconds"),
        (_wordy, "threads"),
        (_posted, "samples_ns"),
        (lambda told: told.pop("device"), "device"),
        (lambda told: told.update(versions=[]), "versions"),
    ],
)
def test_what_is_not_of_this_bundle_and_page_is_refused(
    taken: dict[str, Any], work: Work, tmp_path: Path, change: Callable[[dict[str, Any]], Any], why: str
) -> None:
    told = copy.deepcopy(taken)
    change(told)
    file = tmp_path / "phone.json"
    file.write_text(json.dumps(told))
    with pytest.raises(TargetError, match=why) as refused:
        static.read(file, work, environment.describe())
    assert "\n" not in str(refused.value)


def test_what_is_no_result_is_refused_in_a_line(
    bundle: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for raw in (b"", b"[" * 100_000, b"\xff", b"{}", b"null"):
        (tmp_path / "bad.json").write_bytes(raw)
        status, _, complaints = run(
            "bench", bundle, "--target", "browser", "--results", tmp_path / "bad.json"
        )
        assert (status, complaints.count("\n")) == (1, 1)
    status, _, complaints = run("bench", bundle, "--target", "browser", "--results", tmp_path / "none.json")
    assert (status, complaints.count("\n")) == (1, 1)
    with pytest.raises(OutputError, match="to be empty or free"):
        static.check_free(tmp_path)


@pytest.mark.parametrize(
    ("plans", "words"),
    [
        ((MODES["quick"].plan(1, {}),), "browser --results"),
        ((MODES["single-stream"].plan(2, {}),), "browser --threads 2 --mode single-stream --results"),
        ((Plan(threads=1, runs=22, seconds=0.5),), "browser --seconds 3 --results"),
    ],
)
def test_command_that_reads_results_asks_for_the_same(
    exported: tuple[Path, Result], plans: tuple[Plan, ...], words: str
) -> None:
    assert words in static.told(Bundle.open(exported[0]), NAMES, plans, {})["take"]
    assert target._PAGE[0] == "page.html"
