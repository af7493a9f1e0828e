"""The ratios of the runtime to what is written by hand: that they compare like with like."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgewright.benchmarks.figures import overhead
from edgewright.benchmarks.figures import render as readme
from edgewright.benchmarks.figures.overhead import bare, soaking
from edgewright.benchmarks.figures.photos import Camera
from edgewright.benchmarks.record.stats import Estimate
from edgewright.export.exporter import Result
from edgewright.runtime import InputContract, load
from edgewright.runtime.bundle.manifest import MANIFEST, Bundle
from edgewright.runtime.errors import BundleError, InputError, UnknownNameError
from edgewright.runtime.preprocess import to_pixels
from edgewright.runtime.verification import GOLDEN_INPUTS, read_golden


@pytest.fixture(scope="module")
def folder(exported: tuple[Path, Result], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small bundle under the three names that are asked for."""
    out = tmp_path_factory.mktemp("bundles")
    for name in (overhead.SMALL, overhead.LARGE, overhead.COLOUR):
        shutil.copytree(exported[0], out / name)
    return out


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SECONDS": 0.0,
        "PAIRS": 1,
        "MANY": 40,
        "PARTS": 2,
        "PHONE": (1024, 768),
    }.items():
        monkeypatch.setattr(overhead, name, value)
    monkeypatch.setattr(overhead.apart, "TURNS", 10)


@pytest.mark.parametrize(
    ("variant", "by_hand"),
    [
        ("tflite-int8", bare.litert),
        ("tflite-float32", bare.litert),
        ("onnx-int8", bare.onnx_run),
        ("onnx-float32", bare.onnx_bound),
    ],
)
def test_bare_runs_by_hand_give_what_the_runtime_gives(
    exported: tuple[Path, Result], variant: str, by_hand: object
) -> None:
    bundle = Bundle.open(exported[0])
    path = bundle.path(bundle.variant(variant).file)
    run = by_hand(path)  # type: ignore[operator]
    with load(path) as predictor:
        output = predictor.session.output
        for image in read_golden(bundle)[GOLDEN_INPUTS][:4]:
            found = np.array(run(image[np.newaxis]))
            if output.scale:
                found = (found.astype(np.float32) - output.zero_point) * np.float32(output.scale)
            assert np.array_equal(found, predictor.scores(image[np.newaxis]))


@pytest.mark.parametrize("channels", [1, 3])
def test_bare_pixels_of_by_hand_are_those_of_the_runtime(images: np.ndarray, channels: int) -> None:
    raw = Camera((100, 80)).take(images[0])  # too small to be scaled while it is decoded
    contract = InputContract(height=24, width=32, channels=channels)
    assert np.array_equal(bare.pixels_of(raw, *contract.shape), to_pixels(raw, contract))


def test_camera_photo_is_noisier_where_it_is_brighter(images: np.ndarray) -> None:
    flat = np.full((8, 8, 3), 10, np.uint8)
    flat[:, 4:] = 200
    pixels = to_pixels(
        Camera((640, 480)).take(flat), InputContract(height=480, width=640, channels=1)
    ).astype(float)[0, :, :, 0]
    dark, bright = pixels[:, :200], pixels[:, 440:]
    assert abs(dark.mean() - 10) < 1
    assert abs(bright.mean() - 200) < 1
    assert 1 < dark.std() < 3.5 < bright.std() < 7


@pytest.mark.parametrize(
    ("right", "count", "low", "high"), [(10, 10, 0.7225, 1.0), (0, 10, 0.0, 0.2775), (8, 10, 0.4902, 0.9433)]
)
def test_wilson_interval_of_a_share_is_that_of_binom_confint(
    right: int, count: int, low: float, high: float
) -> None:
    found = overhead.wilson(right, count)  # the figures are those of binom.confint in R
    assert (found.value, found.low, found.high) == pytest.approx((right / count, low, high), abs=1e-4)


@pytest.mark.parametrize(
    ("limit", "sense", "verdict"),
    [
        (1.1, "at most", "met"),
        (1.07, "at most", "not told apart"),
        (1.02, "at most", "not told apart"),
        (0.99, "at most", "missed"),
        (1.0, "at least", "met"),
        (1.05, "at least", "not told apart"),
        (1.2, "at least", "missed"),
    ],
)
def test_overhead_row_is_judged_by_its_whole_interval(limit: float, sense: str, verdict: str) -> None:
    estimate = Estimate(value=1.06, low=1.0, high=1.1)
    row = overhead.Row(name="a", against="b", ratio=estimate, limit=limit, sense=sense, reason="rain")
    told = row.to_json()
    assert (row.verdict, told["verdict"], told["met"]) == (verdict, verdict, verdict == "met")
    assert told["reason"] == ("" if verdict == "met" else "rain")
    assert not {"file_sha256", "data_sha256"} & {*told}


def test_overhead_row_says_of_which_file_and_data_it_is(tmp_path: Path) -> None:
    (tmp_path / "net.tflite").write_bytes(b"net")
    behind = {"file": tmp_path / "net.tflite", "data_sha256": "d" * 64}
    row = overhead.Row(name="a", against="b", ratio=Estimate(value=1, low=1, high=1), limit=1, **behind)
    told = row.to_json()
    assert told["file_sha256"] == hashlib.sha256(b"net").hexdigest()
    assert told["data_sha256"] == "d" * 64


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_overhead_ratios_of_calls_are_each_taken(folder: Path, images: np.ndarray) -> None:
    models = overhead.Models(folder, images)
    rows = [*overhead.pictures(models), *overhead.many(models), *overhead.agreement(models, 4)]
    assert [row.sense for row in rows] == ["at most"] * 7 + ["at least"] * 3
    assert all(0 < row.ratio.low <= row.ratio.value <= row.ratio.high for row in rows)
    assert rows[8].ratio.value == 1


def test_overhead_paired_share_is_a_ratio_with_the_interval_of_the_paired_difference() -> None:
    control = [True] * 485 + [False] * 15
    ours = [False] * 20 + [True] * 465 + [True] * 14 + [False]
    found = overhead.paired_share(ours, control)
    assert found.value == pytest.approx(479 / 485)
    assert found.low < found.value < 1 < found.high  # 20 lost and 14 won are no difference
    worse = overhead.paired_share([False] * 20 + [True] * 480, [True] * 500)
    assert worse.high < 1


def test_overhead_models_let_another_variant_stand_in_for_one_that_was_refused(
    folder: Path, images: np.ndarray, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "bundles")
    bundle = tmp_path / "bundles" / overhead.LARGE
    manifest = Bundle.open(bundle).manifest
    kept = tuple(entry for entry in manifest.variants if entry.name != "tflite-int8")
    (bundle / MANIFEST).write_bytes(dataclasses.replace(manifest, variants=kept).to_bytes())
    models = overhead.Models(tmp_path / "bundles", images)
    asked = ("tflite-int8", "tflite-float32")
    assert models.file(overhead.SMALL, *asked).stem == "tflite-int8"
    assert models.file(overhead.LARGE, *asked).stem == "tflite-float32"
    for words in (("tflite-int8",), ("tflite-int8", "tflite-int4")):
        with pytest.raises(UnknownNameError):
            models.file(overhead.LARGE, *words)


def test_soak_watches_memory_from_within(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soaking, "PICTURES", 4)
    soaking.main(folder / overhead.SMALL, 0.02)
    told = json.loads(capsys.readouterr().out)
    assert told["pictures"] > 4
    assert len(told["resident_bytes"]) > 10
    assert min(told["resident_bytes"]) > 2**24


def test_overhead_names_a_missing_bundle_or_data_set(folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "cifar10.npz"
    words = [str(tmp_path), "--cifar10", str(data), "--out", str(tmp_path)]
    with pytest.raises(InputError, match=r"cifar10\.npz"):
        overhead.main(words)
    np.savez(data, x_test=np.zeros((1, 32, 32, 3), np.uint8))
    with pytest.raises(BundleError, match=overhead.SMALL):
        overhead.main(words)


@pytest.mark.slow
@pytest.mark.long
def test_soak_memory_stays_flat(folder: Path, images: np.ndarray) -> None:
    """Twenty seconds of what was watched for ten minutes."""
    (row,) = overhead.soak(overhead.Models(folder, images), 1 / 3)
    assert row.verdict != "missed", row


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.usefixtures("quick")
def test_overhead_ratios_are_all_written_and_rendered(
    folder: Path, images: np.ndarray, tmp_path: Path
) -> None:
    np.savez(tmp_path / "cifar10.npz", x_test=images)
    words = [str(folder), "--cifar10", str(tmp_path / "cifar10.npz"), "--photos", "4"]
    assert overhead.main([*words, "--soak-minutes", "0.02", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "runtime.json").read_text())
    keys = ["name", "against", "ratio", "ratio_low", "ratio_high", "sense", "limit", "met"]
    keys += ["verdict", "reason"]
    assert all(list(row) == keys for row in found["rows"])
    table = readme.render("<!-- table: runtime -->\n<!-- end -->", tmp_path)
    assert table.count("\n| ") == len(found["rows"]) + 2  # heads and a rule
    limits = {row["limit"] for row in found["rows"]}
    assert limits == {1.15, 1.02, 1.10, 1.03, 0.30, 0.995, 1.0, 1.25, 1.8, 1.30, 100}
