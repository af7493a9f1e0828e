"""The whole way: a browser opens the page, and its samples are rows; and what is said where it cannot."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import queue
import shutil
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from edgewright.apps.web import assets
from edgewright.benchmarks.record.measurement import Measurement, Plan
from edgewright.benchmarks.record.record import read_records
from edgewright.benchmarks.targets.browser import chromium, qr, target
from edgewright.benchmarks.targets.browser.posted import Device, Progress, Results
from edgewright.benchmarks.targets.browser.target import TARGET, Visits
from edgewright.runtime import Bundle
from edgewright.runtime.disk import files
from edgewright.runtime.errors import InputError, TargetError

Run = Callable[..., tuple[int, str, str]]


def _device(key: str = "0123456789ab", name: str = "a phone") -> Device:
    return Device(
        key=key,
        name=name,
        browser="Chrome 156",
        system="Android 14",
        user_agent="x",
        cores=8,
        isolated=True,
        secure=True,
        clock_step_ns=5000,
        mobile=True,
    )


def _results(device: Device, variant: str = "tflite-int8") -> Results:
    measured = Measurement(
        variant=variant, target="browser", threads=1, kernels="x", environment={"cpu": device.title}
    )
    return Results(device=device, measurements=[measured], refused={})


def _wait(told: Sequence[Any], *, several: bool) -> tuple[list[Measurement], list[str], list[str]]:
    """What came of what devices said, the variants that were done, and the lines that were said."""
    heard: queue.Queue[Any] = queue.Queue()
    for one in told:
        heard.put(one)
    done: list[str] = []
    said: list[str] = []
    return Visits(done.append, said.append, several=several).wait(heard, lambda: None), done, said


def test_first_browser_that_is_done_ends_it_and_a_page_may_be_loaded_again() -> None:
    before, again = _device(), _device("f" * 12)
    told = [
        Progress(device=before, variant="a"),
        Progress(device=again, variant="a"),
        Progress(device=before, variant="late"),
        Progress(device=again, variant="b"),
        _results(again),
        _results(before),
    ]
    found, done, said = _wait(told, several=False)
    assert [m.environment["cpu"] for m in found] == ["a phone (Chrome 156)"]
    assert done == ["a", "a", "b"]
    assert said == ["measuring in a phone (Chrome 156), Android 14, 8 cores"] * 2


def test_several_devices_each_have_rows_though_they_have_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "_AFTER", 0.2)
    first, second, third = _device(), _device("f" * 12), _device("e" * 12, "a tablet")
    told = [
        *(Progress(device=one, variant="") for one in (first, second, third)),
        *(_results(one) for one in (second, first, first)),
        (third, "no\nmemory"),
    ]
    found, _, said = _wait(told, several=True)
    assert [m.environment["cpu"] for m in found] == ["a phone (Chrome 156)", "a phone (Chrome 156) 2"]
    assert "a tablet (Chrome 156) did not measure: no\nmemory" in said


def test_device_that_falls_silent_or_fails_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TargetError, match=r"a phone \(Chrome 156\) did not measure: out of memory"):
        _wait([(_device(), "out of memory")], several=False)
    monkeypatch.setattr(target, "_SILENT", 0.1)
    with pytest.raises(TargetError, match="it said nothing for 0 s; keep the page in front"):
        _wait([Progress(device=_device(), variant="")], several=False)
    monkeypatch.setattr(target, "_UNVISITED", 0.1)
    with pytest.raises(TargetError, match="expected a browser to open the page within 0 minutes, got none"):
        _wait([], several=True)


def test_what_came_before_a_gpu_ended_the_page_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    half = dataclasses.replace(_results(_device()), whole=False)
    found, _, said = _wait([half, (_device(), "out of memory")], several=False)
    assert len(found) == 1
    assert said[-1] == "WebGPU has no rows of a phone (Chrome 156): out of memory"
    assert len(_wait([half, _results(_device())], several=False)[0]) == 1  # once
    monkeypatch.setattr(target, "_SILENT", 0.1)
    assert len(_wait([half], several=False)[0]) == 1

    def ended() -> None:
        raise TargetError("chromium ended with status 139")

    heard: queue.Queue[Any] = queue.Queue()
    heard.put(half)
    lines: list[str] = []
    assert len(Visits(lambda v: None, lines.append, several=False).wait(heard, ended)) == 1
    assert lines[-1] == "WebGPU has no rows of a phone (Chrome 156): chromium ended with status 139"
    with pytest.raises(TargetError, match="status 139"):
        Visits(lambda v: None, lines.append, several=False).wait(queue.Queue(), ended)


def test_ctrl_c_keeps_what_came_in() -> None:
    heard: queue.Queue[Any] = queue.Queue()
    heard.put(_results(_device()))

    def interrupt() -> None:
        raise KeyboardInterrupt

    assert len(Visits(lambda v: None, lambda line: None, several=True).wait(heard, interrupt)) == 1
    with pytest.raises(KeyboardInterrupt):
        Visits(lambda v: None, lambda line: None, several=True).wait(queue.Queue(), interrupt)


def test_options_that_cannot_be_are_refused(exported: tuple[Path, Any]) -> None:
    bundle = Bundle.open(exported[0])
    with pytest.raises(InputError, match="expected --webgpu with --headless, got it alone"):
        TARGET.check(bundle, "tflite-int8", Plan(options={"webgpu": "yes"}))
    with pytest.raises(InputError, match="got --static and --results"):
        TARGET.check(bundle, "tflite-int8", Plan(options={"static": "x", "results": "y"}))
    with pytest.raises(InputError, match="got --headless and --lan"):
        TARGET.check(bundle, "tflite-int8", Plan(options={"headless": "yes", "lan": "yes"}))
    with pytest.raises(InputError, match="expected --https with --lan, got it alone"):
        TARGET.check(bundle, "tflite-int8", Plan(options={"https": "yes"}))
    TARGET.check(bundle, "tflite-int8", Plan(threads=2, options={"lan": "yes", "https": "yes"}))
    with pytest.raises(InputError, match="expected 1 thread with --lan, got 2"):
        TARGET.check(bundle, "tflite-int8", Plan(threads=2, options={"lan": "yes"}))
    TARGET.check(bundle, "tflite-int8", Plan(threads=2, options={"headless": "yes"}))


def test_missing_programs_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert TARGET.missing().startswith("npm (install nodejs and npm), or --assets DIR")
    with pytest.raises(TargetError, match="target browser needs npm"):
        assets.ready(None, lambda line: None)
    with (
        pytest.raises(TargetError, match="needs Chromium for --headless, on PATH"),
        chromium.opened("http://127.0.0.1:1/"),
    ):
        pass
    (tmp_path / "chromium").write_text("#!/bin/sh\necho no display >&2\nexit 7\n")
    (tmp_path / "chromium").chmod(0o755)
    with (
        pytest.raises(TargetError, match="ended with status 7 before the page was done: no display"),
        chromium.opened("http://127.0.0.1:1/") as alive,
    ):
        while True:
            alive()


def _npm(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    (folder / "bin").mkdir()
    (folder / "bin" / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "bin" / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:/usr/bin:/bin")


def test_package_of_another_hash_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _npm(tmp_path, monkeypatch, "echo evil > package.tgz")
    with pytest.raises(
        TargetError, match=r"expected @litertjs/core@2\.5\.3 to be sha512-.*nothing of it was taken"
    ):
        assets.ready(None, lambda line: None)
    with pytest.raises(
        TargetError, match="nothing of it was taken"
    ):  # nor is anything left that passes for it
        assets.ready(None, lambda line: None)


def test_npm_that_fails_is_told_in_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _npm(tmp_path, monkeypatch, "echo 'npm error ENOTFOUND' >&2; exit 1")
    with pytest.raises(TargetError, match="npm error ENOTFOUND; see whether it reaches its registry"):
        assets.ready(None, lambda line: None)


def test_archive_gives_the_listed_files_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "package"
    inside.mkdir()
    (inside / "package.json").write_text('{"version": "1.0.0"}')
    (inside / "index.js").symlink_to("/etc/passwd")
    (inside / "more.js").write_text("more")
    with tarfile.open(tmp_path / "kept.tgz", "w:gz") as archive:
        archive.add(inside, "package")
    digest = hashlib.sha512((tmp_path / "kept.tgz").read_bytes()).digest()
    _npm(tmp_path, monkeypatch, f"cp {tmp_path / 'kept.tgz'} .")

    def package(*files: str) -> assets.Package:
        integrity = f"sha512-{base64.b64encode(digest).decode()}"
        return assets.Package(name="kept", version="1.0.0", integrity=integrity, files=files)

    monkeypatch.setattr(assets, "PACKAGES", (package("index.js"),))
    with pytest.raises(
        TargetError, match=r"expected index\.js in kept@1\.0\.0, got none"
    ):  # a link is no file
        assets.ready(None, lambda line: None)
    monkeypatch.setattr(assets, "PACKAGES", (package("more.js"),))
    said: list[str] = []
    found = assets.ready(None, said.append)
    assert found.versions == {"kept": "1.0.0"}
    assert found.files["kept/more.js"].read_text() == "more"
    assert said == ["setting up target browser, once: LiteRT.js and onnxruntime-web from npm"]
    assert not found.files["kept/more.js"].with_name("index.js").is_symlink()


def test_folder_without_the_engines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        TargetError, match=r"expected @litertjs/core/dist/index\.js in --assets .*, got none; npm install"
    ):
        assets.ready(str(tmp_path), lambda line: None)


def test_qr_code_is_that_of_the_text() -> None:
    segno = pytest.importorskip("segno")
    matrix = [
        list(map(bool, row)) for row in segno.make("http://192.0.2.2:1/x/", error="l", micro=False).matrix
    ]
    halves = {"█": (0, 0), "▀": (0, 1), "▄": (1, 0), " ": (1, 1)}
    rows: list[list[int]] = []
    for line in qr.lines("http://192.0.2.2:1/x/"):
        rows += zip(*(halves[c] for c in line), strict=True)  # type: ignore[arg-type]
    assert [[bool(m) for m in row[2:-2]] for row in rows[2 : 2 + len(matrix)]] == matrix
    assert not any(rows[0]) and not any(row[0] or row[-1] for row in rows[: 4 + len(matrix)])


@pytest.mark.slow
@pytest.mark.usefixtures("two_processes")
def test_chromium_checks_and_times_every_default_variant(bundle: Path, run: Run, engines_cache: Path) -> None:
    if chromium.missing():
        pytest.skip("there is no chromium on PATH")
    shutil.copytree(engines_cache / "targets", files.cache_folder() / "targets")
    words = ("--target", "browser", "--headless", "--seconds", "0.1")
    status, said, complaints = run("bench", bundle, *words)
    assert (status, complaints) == (0, "")
    assert "target browser" in said
    checked = said.partition("Scores of target browser beside the CPU's")[2]
    assert checked.count("tflite-int8 ") == 1
    (record,) = read_records(bundle.with_name("bundle-bench.json"))  # it is this machine's
    by_key = record.by_key()
    assert {key[1:] for key in by_key} == {("browser", 1)}
    assert len(by_key) == 6
    for (variant, _, _), group in by_key.items():
        assert len(group) == 2
        check = group[0].check
        assert check is not None
        assert (check.images, check.verdict, check.agreement) == (16, "right", 1.0)
        if variant == "tflite-int8":
            assert check.max_abs_error == 0
        elif "int8" not in variant:
            assert check.max_abs_error <= 1e-5
        for m in group:
            assert m.queries == m.calls_per_sample * len(m.samples_ns["warm_run"]) >= 22
            assert m.samples_ns["load"][0] > 0
    environment = by_key["tflite-int8", "browser", 1][0].environment
    assert "Chrom" in environment["browser"]
    assert environment["cross_origin_isolated"] is True
    assert environment["versions"]["@litertjs/core"] == "2.5.3"
    assert json.loads(bundle.with_name("bundle-bench.json").read_bytes())["plans"][0]["options"] == {
        "headless": "yes"
    }
    status, _, _ = run("report", bundle, "--out", bundle.with_name("report.md"))
    assert status == 0
    assert "browser, 1 thread" in bundle.with_name("report.md").read_text()


@pytest.mark.slow
def test_webgpu_in_software_has_answers_of_its_own(bundle: Path, run: Run, engines_cache: Path) -> None:
    if chromium.missing():
        pytest.skip("there is no chromium on PATH")
    shutil.copytree(engines_cache / "targets", files.cache_folder() / "targets")
    names = "tflite-float32,tflite-int8,onnx-float32"
    words = ("--variants", names, "--target", "browser", "--headless", "--webgpu", "--seconds", "0.06")
    status, said, complaints = run("bench", bundle, *words)
    assert (status, complaints) == (0, "")
    assert "Scores of target browser-webgpu beside the CPU's" in said
    (record,) = read_records(bundle.with_name("bundle-bench.json"))
    rows = {key[0]: group for key, group in record.by_key().items() if key[1] == "browser-webgpu"}
    assert list(rows) == names.split(",")
    for (found,) in rows.values():
        assert found.samples_ns == {}
        assert found.check is not None
        assert found.check.images >= 1
        assert found.check.verdict == "right"
    assert rows["onnx-float32"][0].kernels == "onnxruntime-web-webgpu"
    assert any("WebGPU ran in software" in line for line in said.splitlines())
    assert len([key for key in record.by_key() if key[1] == "browser"]) == 3
