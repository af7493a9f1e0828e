"""Variants with passes: what their files hold, that nothing is trained twice, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.export import formats, passes, variants
from edgewright.export.exporter import Options, Result, export
from edgewright.export.finetuning import chains as fine_tuning
from edgewright.export.network.model import FileInterface
from edgewright.export.network.network import Network
from edgewright.export.source.options import Given
from edgewright.runtime import Bundle
from edgewright.runtime.errors import CheckpointError, DataError, ExportError, InputError
from edgewright.runtime.verification import verify
from edgewright.train.bridge import to_tf_keras
from edgewright.train.checkpoint import MODEL
from edgewright.train.datasets import Dataset
from edgewright.train.normalization import Normalization

BuildConv = Callable[..., Any]
MadeOnce = Callable[..., Any]
MakeCheckpoint = Callable[..., Path]
NAMES = (
    "prune50+tflite-int8",
    "prune50+onnx-int8",
    "prune50+cluster8+tflite-float32",
    "prune50+cluster8+qat+tflite-int8",
)
OTHERS = ("prune2x4+tflite-float32", "prune60+qat+tflite-int8")
CLUSTERED = "cluster8+qat+tflite-int8"


def options(out: Path, names: str, **settings: Any) -> Options:
    """An export in which the gate is not what is tested: a network of a moment's training."""
    settings = {"finetune_epochs": 2, "max_drop": 0.9, "calibration_size": 40} | settings
    return Options(out=out, variants=variants.parse(names), **settings)


@pytest.fixture(scope="module")
def cache(made_once: MadeOnce) -> Iterator[Path]:
    folder = made_once("passes-cache", lambda folder: folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEWRIGHT_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def small(
    made_once: MadeOnce, build_conv: BuildConv, write_checkpoint: MakeCheckpoint, colour: Dataset
) -> Path:
    """A checkpoint whose network has a convolution, BatchNormalization and two dense layers."""

    def make(folder: Path) -> Path:
        return write_checkpoint(folder, build_conv(), colour, recipe="fashion-mlp", input_range=(-1.0, 1.0))

    found: Path = made_once("passes-small", make)
    return found


@pytest.fixture(autouse=True)
def _own_cache(cache: Path) -> None:
    """The tests here share one cache: what one of them has trained, the others find."""


@pytest.fixture(scope="module")
def passed(cache: Path, small: Path, made_once: MadeOnce) -> tuple[Path, Result]:
    def make(folder: Path) -> tuple[Path, Result]:
        out = folder / "bundle"
        return out, export(small, options(out, ",".join(NAMES)))

    found: tuple[Path, Result] = made_once("passed", make)
    return found


def figures(bundle: Path, name: str) -> list[dict[str, Any]]:
    """What the manifest says of a file's layers, the classifier left out."""
    entry = Bundle.open(bundle).variant(name)
    layers: list[dict[str, Any]] = entry.conversion["weights"]["layers"]
    assert sorted(layer["weights"] for layer in layers) == [216, 640, 18432]
    return [layer for layer in layers if layer["weights"] != 640]


@pytest.mark.slow
def test_passes_of_every_variant_are_written_and_stand_in_the_manifest(passed: tuple[Path, Result]) -> None:
    out, result = passed
    assert [outcome.name for outcome in result.outcomes if outcome.passed] == list(NAMES)
    for entry in Bundle.open(out).manifest.variants:
        assert "+".join(entry.passes) == entry.name.rpartition("+")[0]
        trained = entry.conversion["passes"]
        assert [done["pass"] for done in trained] == list(entry.passes)
        assert all(done["steps_per_epoch"] == 15 for done in trained)
    assert [found.status for found in verify(out)] == ["ok"] * len(NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_prune50_makes_half_of_the_weights_zero_in_the_file(passed: tuple[Path, Result], name: str) -> None:
    for layer in figures(passed[0], name):
        assert 0.49 <= layer["zeros"] <= 0.7, layer


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES[2:])
def test_cluster8_clusters_are_clusters_in_the_file(passed: tuple[Path, Result], name: str) -> None:
    for layer in figures(passed[0], name):
        assert 2 <= layer["values_per_channel"] <= 8, layer


@pytest.mark.slow
def test_parity_of_passes_is_with_the_checkpoints_model_and_not_with_what_a_pass_has_made(
    passed: tuple[Path, Result], small: Path, network_of: Callable[[Path], Network], colour: Dataset
) -> None:
    right = network_of(small).scores(colour.x_test).argmax(1) == colour.y_test
    assert passed[1].reference["accuracy"] == pytest.approx(right.mean())
    clustered = Bundle.open(passed[0]).variant(NAMES[2]).parity
    assert clustered.max_abs_error > 1e-3


@pytest.mark.slow
def test_qat_gives_an_all_integer_file_that_takes_pixels(passed: tuple[Path, Result]) -> None:
    entry = Bundle.open(passed[0]).variant(NAMES[3])
    assert (entry.input.dtype, entry.input.scale) == ("uint8", pytest.approx(2 / 255))
    assert entry.input.zero_point in (127, 128)
    assert entry.output.dtype == "uint8"
    assert entry.conversion["chosen"]["activations"].endswith("ranges from training")
    assert entry.parity.agreement > 0.6


@pytest.mark.slow
def test_passes_of_a_second_export_train_nothing_and_give_the_same_bytes(
    passed: tuple[Path, Result], small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*unused: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(fine_tuning, "_run_pass", refuse)
    out = tmp_path / "bundle"
    export(small, options(out, f"{NAMES[0]},{NAMES[3]},prune50+tflite-float32"))
    first, second = Bundle.open(passed[0]), Bundle.open(out)
    for name in (NAMES[0], NAMES[3]):
        assert second.variant(name).file == first.variant(name).file


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "begins"),
    [({}, ["prune50+cluster9"]), ({"seed": 1}, ["prune50"]), ({"finetune_epochs": 1}, ["prune50"])],
)
def test_passes_train_only_what_is_new(
    passed: tuple[Path, Result],
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    begins: list[str],
) -> None:
    trained = []

    def note(task: Any, *unused: object) -> None:
        trained.append("+".join(task["chain"]))
        raise ExportError("stopped here")

    monkeypatch.setattr(fine_tuning, "_run_pass", note)
    with pytest.raises(ExportError, match="stopped here"):
        export(small, options(tmp_path / "bundle", "prune50+cluster9+tflite-int8", **change))
    assert trained == begins
    assert list(tmp_path.iterdir()) == []


def test_prune_and_cluster_refuse_a_network_with_nothing_to_prune(keras: Any) -> None:
    layers = [keras.Input((14, 14, 3)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")]
    model = to_tf_keras(keras.Sequential(layers)).model
    for name in ("prune50", "cluster16"):
        with pytest.raises(InputError, match="nothing to prune or cluster"):
            passes.get(name).check(model)


@pytest.mark.slow
def test_passes_refuse_networks_that_any_is_not_for_before_the_first_trains(
    keras: Any,
    make_checkpoint: MakeCheckpoint,
    colour: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path / "cache"))
    image = keras.Input((14, 14, 3))
    x = keras.layers.LayerNormalization(name="norm")(keras.layers.Flatten()(image))
    model = keras.Model(image, keras.layers.Dense(10, "softmax")(keras.layers.Dense(4)(x)))
    checkpoint = make_checkpoint(model, colour, recipe="fashion-mlp")
    with pytest.raises(ExportError, match=r"qat cannot train layer 'norm' \(LayerNormalization"):
        export(checkpoint, options(tmp_path / "bundle", "prune50+tflite-int8,qat+tflite-int8"))
    assert not (tmp_path / "bundle").exists()
    assert not [*(tmp_path / "cache").rglob("*.keras")]


@pytest.mark.slow
def test_finetune_refuses_what_cannot_be_trained_on_before_any_work(small: Path, tmp_path: Path) -> None:
    names, out = "prune50+tflite-int8", tmp_path / "bundle"
    with pytest.raises(InputError, match="--finetune-epochs of at least 1, got 0"):
        export(small, options(out, names, finetune_epochs=0))
    given = Given(normalization=Normalization.of_range(-1, 1))
    with pytest.raises(
        InputError, match=r"expected labelled training pictures for prune50\+tflite-int8.*--data"
    ):
        export(small / MODEL, options(out, names, given=given))
    network = tmp_path / "network"
    network.mkdir()
    (network / "saved_model.pb").write_bytes(b"")
    with pytest.raises(InputError, match=r"expected a \.keras or \.h5 file of one output"):
        export(network, options(out, names, given=given, data="mini"))
    unknown = Path(shutil.copytree(small, tmp_path / "unknown"))
    described = json.loads((unknown / "checkpoint.json").read_text())
    (unknown / "checkpoint.json").write_text(json.dumps(described | {"recipe": "made"}))
    with pytest.raises(CheckpointError, match=r"expected the checkpoint's recipe.* got 'made'"):
        export(unknown, options(out, names))


def test_finetune_refuses_data_that_is_gone_or_changed(
    build_conv: BuildConv, make_checkpoint: MakeCheckpoint, colour: Dataset, tmp_path: Path
) -> None:
    checkpoint = make_checkpoint(build_conv(), colour, recipe="fashion-mlp", input_range=(-1.0, 1.0))
    (data,) = tmp_path.glob("*.npz")
    with np.load(data) as found:
        parts = {key: found[key] for key in found.files}
    parts["x_train"][0, 0, 0] ^= 1
    np.savez(data, **parts)
    with pytest.raises(CheckpointError, match="expected the data the checkpoint was trained on"):
        export(checkpoint, options(tmp_path / "bundle", "prune50+tflite-int8"))
    data.unlink()
    with pytest.raises(InputError):
        export(checkpoint, options(tmp_path / "bundle", "prune50+tflite-int8"))


@pytest.mark.slow
@pytest.mark.long
def test_passes_in_other_combinations_keep_what_was_there(cache: Path, small: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    export(small, options(out, ",".join(OTHERS)))
    for layer in figures(out, OTHERS[0]):
        assert layer["zeros"] >= (0.33 if layer["weights"] == 216 else 0.49), layer  # of 3 channels 1
    kernels = formats.get("tflite").weights(out / f"{OTHERS[0]}.tflite").values()
    (dense,) = (array for array in kernels if array.size == 18432)
    assert ((dense.reshape(-1, 4) != 0).sum(axis=1) <= 2).all()  # along the inputs, as kernels sum them
    for layer in figures(out, OTHERS[1]):
        assert layer["zeros"] >= 0.59, layer


@pytest.mark.slow
@pytest.mark.long
def test_cluster8_is_kept_by_qat_alone(cache: Path, small: Path, tmp_path: Path) -> None:
    """In CI, after pruning: NAMES."""
    export(small, options(tmp_path / "bundle", CLUSTERED))
    for layer in figures(tmp_path / "bundle", CLUSTERED):
        assert layer["values_per_channel"] <= 8, layer


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".keras", pytest.param(".h5", marks=pytest.mark.long)])
def test_passes_of_a_model_of_ones_own_train_on_the_data_that_is_given(
    cache: Path, build_conv: BuildConv, colour: Dataset, tmp_path: Path, suffix: str
) -> None:
    """Its scores are in another order than the data's classes: passes that took those for its own would
    train it to be wrong."""
    model = build_conv()
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel[:, ::-1], bias[::-1]])
    model.save(tmp_path / f"net{suffix}")
    arrays = {f"{a}_{part}": getattr(colour, f"{a}_{part}") for a in "xy" for part in ("train", "test")}
    np.savez(tmp_path / "data.npz", labels=np.array(colour.labels), **arrays)
    (tmp_path / "labels.txt").write_text("\n".join(colour.labels[::-1]))
    given = Given(normalization=Normalization.of_range(-1, 1), labels=tmp_path / "labels.txt")
    names = "prune50+tflite-float32,prune50+qat+tflite-int8"
    out, data = tmp_path / "bundle", str(tmp_path / "data.npz")
    result = export(tmp_path / f"net{suffix}", options(out, names, given=given, data=data))
    assert {outcome.name for outcome in result.outcomes if outcome.passed} == {*names.split(",")}
    for layer in figures(out, "prune50+tflite-float32"):
        assert layer["zeros"] >= 0.49, layer
    assert Bundle.open(out).variant("prune50+qat+tflite-int8").parity.agreement > 0.7


@pytest.mark.slow
def test_distill4_of_a_model_of_ones_own_wants_pictures_without_labels(
    cache: Path, build_conv: BuildConv, colour: Dataset, tmp_path: Path
) -> None:
    build_conv().save(tmp_path / "net.keras")
    np.savez(tmp_path / "pictures.npz", x=colour.x_test)
    normalization = Normalization.of_range(-1, 1)
    names = "distill4+onnx-weight-int4"
    out, net = tmp_path / "bundle", tmp_path / "net.keras"
    given = Given(normalization=normalization, pictures=tmp_path / "pictures.npz")
    result = export(net, options(out, names, given=given, calibration_size=200))
    assert [outcome.name for outcome in result.outcomes if outcome.passed] == [names]
    entry = Bundle.open(out).variant(names)
    assert entry.parity.agreement > 0.95
    (record,) = entry.conversion["passes"]
    assert (record["pass"], record["steps_per_epoch"], record["validation_images"]) == ("distill4", 100, 15)
    assert record["validation_agreement"] > 0.7
    with pytest.raises(InputError, match=r"expected pictures for distill4.* add --pictures FOLDER"):
        export(net, options(tmp_path / "other", names, given=Given(normalization=normalization)))
    with pytest.raises(
        InputError, match=r"expected labelled training pictures for qat4.*, got none; add --data"
    ):
        export(net, options(tmp_path / "other", "qat4+onnx-weight-int4", given=given))
    for count, calibrate in ((3, 0), (4, 1)):
        np.savez(tmp_path / "few.npz", x=colour.x_test[:count])
        few = Given(normalization=normalization, pictures=tmp_path / "few.npz")
        says = (
            rf"a tenth of them.* held out, got {calibrate} pictures that calibrate, a quarter of --pictures"
        )
        with pytest.raises(DataError, match=says):
            export(net, options(tmp_path / "other", names, given=few))


@pytest.mark.slow
@pytest.mark.long
def test_qat_takes_a_file_interface_of_batches_and_floats(cache: Path, small: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    export(small, options(out, "qat+tflite-int8", interface=FileInterface(batch=4, dtype="float32")))
    entry = Bundle.open(out).variant("qat+tflite-int8")
    assert (entry.input.dtype, entry.input.shape[0]) == ("float32", 4)
    assert entry.parity.agreement > 0.7
