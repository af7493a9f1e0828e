"""Labels come the same from a bundle, from a lone file copied out of it, and on any installed backend."""

from __future__ import annotations

import dataclasses
import io
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgewright.export import formats
from edgewright.export.exporter import Result
from edgewright.runtime import Predictor, load
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.contract import NOT_PROVEN, InputContract, ModelContract, TensorSpec
from edgewright.runtime.errors import (
    BundleError,
    ImageError,
    InputError,
    ModelFileError,
    UnknownNameError,
    UnprovenWarning,
)
from edgewright.runtime.predictor import recommended
from edgewright.runtime.verification import GOLDEN_INPUTS, read_golden

VARIANTS = (
    *("tflite-float32", "tflite-float16", "tflite-dynamic-int8", "tflite-int8"),
    *("onnx-float32", "onnx-int8"),
)


@pytest.fixture(scope="module")
def opened(exported: tuple[Path, Result]) -> Bundle:
    return Bundle.open(exported[0])


@pytest.mark.parametrize("variant", VARIANTS)
def test_load_lone_file_predicts_as_it_does_in_its_bundle(
    variant: str, opened: Bundle, tmp_path: Path, picture: Path
) -> None:
    name = opened.variant(variant).file.file
    lone = Path(shutil.copyfile(opened.folder / name, tmp_path / f"phone{Path(name).suffix}"))
    with load(lone) as alone, load(opened.folder, variant=variant) as inside:
        assert alone.contract == inside.contract
        assert alone.contract.variant == variant
        for image in read_golden(opened)[GOLDEN_INPUTS]:
            pixels = image[np.newaxis]
            assert np.array_equal(alone.scores(pixels), inside.scores(pixels))
        assert alone.predict(picture) == inside.predict(picture)
        assert alone.predict(picture)[0].label == "Ankle boot"


def test_predictor_gives_the_golden_scores_of_encoded_pictures(opened: Bundle) -> None:
    golden = read_golden(opened)
    with load(opened.folder, variant="onnx-float32") as predictor:
        for image, expected in zip(golden[GOLDEN_INPUTS], golden["onnx-float32"], strict=True):
            memory = io.BytesIO()
            Image.fromarray(image[:, :, 0]).save(memory, "PNG")
            best = predictor.predict(memory.getvalue(), k=1)[0]
            assert best.index == expected.argmax()
            assert best.label == opened.manifest.labels[best.index]
            assert best.probability == pytest.approx(expected.max(), abs=1e-5)


def test_the_recommended_variant_is_int8(opened: Bundle) -> None:
    with load(opened.folder) as predictor:
        assert predictor.contract.variant == "tflite-int8"


def test_the_recommended_variant_is_one_that_can_run_here(opened: Bundle, fresh: Callable[..., Any]) -> None:
    code = "from edgewright.runtime import load; print(load(sys.argv[1]).contract.variant)"
    for package, variant in (("onnxruntime", "tflite-int8"), ("ai_edge_litert", "onnx-int8")):
        done = fresh(opened.folder, code=code, blocked=[package])
        assert done.stdout.strip() == variant, done.stderr


def test_recommended_variant_is_not_one_that_is_small_but_slow(opened: Bundle) -> None:
    entry = opened.variant("tflite-float32")
    small = dataclasses.replace(entry.file, bytes=1)
    slow = dataclasses.replace(entry, name="prune80+tflite-weight-int4", rank=entry.rank + 1, file=small)
    fast = dataclasses.replace(entry, name="prune80+tflite-float16", rank=entry.rank - 1)
    for variants, best in (((slow, entry), entry), ((slow, entry, fast), fast), ((slow,), slow)):
        manifest = dataclasses.replace(opened.manifest, variants=variants)
        assert recommended(dataclasses.replace(opened, manifest=manifest)) == best


def test_recommended_variant_is_one_that_is_proven(opened: Bundle) -> None:
    def without(*names: str) -> Bundle:
        entries = [
            dataclasses.replace(entry, parity=dataclasses.replace(entry.parity, verdict=NOT_PROVEN))
            if entry.name in names
            else entry
            for entry in opened.manifest.variants
        ]
        manifest = dataclasses.replace(opened.manifest, variants=tuple(entries))
        return dataclasses.replace(opened, manifest=manifest)

    assert recommended(without("tflite-int8")).name == "onnx-int8"
    with pytest.raises(InputError, match=r"is proven in .*name one of: tflite-float32, "):
        recommended(without(*VARIANTS))


def test_load_warns_of_a_file_that_is_not_proven(bundle: Path) -> None:
    name = "onnx-float32"
    path = bundle / f"{name}.onnx"
    contract = Bundle.open(bundle).manifest.contract(name)
    formats.get("onnx").attach(path, dataclasses.replace(contract, verdict=NOT_PROVEN))
    with pytest.warns(UnprovenWarning, match="not proven: it was written though"):
        load(path).close()


def test_load_backend_can_be_asked_for(opened: Bundle) -> None:
    with load(opened.folder, backend="ort") as predictor:
        assert predictor.contract.variant == "onnx-int8"
    with load(opened.folder / "onnx-int8.onnx", backend="ort") as predictor:
        assert predictor.contract.variant == "onnx-int8"
    with pytest.raises(UnknownNameError, match="did you mean 'litert'"):
        load(opened.folder, backend="litter")
    with pytest.raises(ModelFileError, match=r"expected a \.tflite file, got 'onnx-int8\.onnx'"):
        load(opened.folder, variant="onnx-int8", backend="litert")
    tflite = dataclasses.replace(opened.manifest, variants=(opened.variant("tflite-int8"),))
    with pytest.raises(InputError, match="expected a variant that 'ort' runs"):
        recommended(dataclasses.replace(opened, manifest=tflite), "ort")


@pytest.mark.parametrize("variant", ["tflite-int8", "onnx-int8"])
def test_predictor_shared_by_threads_gives_what_one_gets(opened: Bundle, variant: str) -> None:
    images = read_golden(opened)[GOLDEN_INPUTS]
    with load(opened.folder, variant=variant) as predictor, ThreadPoolExecutor(8) as threads:
        alone = [predictor.predict(image) for image in images]
        for _ in range(20):
            assert list(threads.map(predictor.predict, images)) == alone


@pytest.mark.parametrize("k", [1, 3, 10, 11, 1000])
def test_predict_k_best_come_best_first_and_never_more_than_there_are(
    opened: Bundle, k: int, picture: Path
) -> None:
    with load(opened.folder, variant="onnx-float32") as predictor:
        found = predictor.predict(picture, k=k)
    assert len(found) == min(k, 10)
    assert [p.probability for p in found] == sorted((p.probability for p in found), reverse=True)
    assert len({p.index for p in found}) == len(found)
    if k >= 10:
        assert sum(p.probability for p in found) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("k", [0, -1])
def test_predict_k_below_one_is_refused(opened: Bundle, k: int, picture: Path) -> None:
    with load(opened.folder) as predictor, pytest.raises(InputError, match=f"k of at least 1, got {k}"):
        predictor.predict(picture, k=k)


def test_predictor_top_of_equal_scores_has_the_lower_index_first(opened: Bundle) -> None:
    with load(opened.folder) as predictor:
        scores = np.array([0, 1, 2, 2, 1, 2, 0, 0, 0, 0], np.float32)
        assert [p.index for p in predictor.top(scores, 5)] == [2, 3, 5, 1, 4]


def test_predictor_top_of_logits_gives_probabilities(opened: Bundle) -> None:
    with load(opened.folder) as predictor:
        contract = dataclasses.replace(predictor.contract, head="logits")
        scores = np.array([1000, 999, *[-1000] * 8], np.float32)
        first, second, third = Predictor(contract, predictor.session).top(scores, 3)
    assert (first.index, second.index) == (0, 1)
    assert first.probability == pytest.approx(1 / (1 + np.exp(-1)), rel=1e-5)
    assert first.probability + second.probability == pytest.approx(1)
    assert third.probability == 0


class Fixed:
    """A session whose scores are given."""

    def __init__(self, *scores: float) -> None:
        self.input = TensorSpec(name="image", shape=(1, 4, 4, 3), dtype="uint8")
        self.output = TensorSpec(name="scores", shape=(1, len(scores)), dtype="float32")
        self.kernels, self._scores = "fixed", np.array([scores], np.float32)

    def run(self, pixels: Any) -> Any:
        return self._scores

    def close(self) -> None:
        pass


def of_head(kind: str, labels: str, *scores: float, threshold: float = 0.5) -> Predictor:
    given = InputContract(height=4, width=4, channels=3)
    contract = ModelContract(
        name="m", variant="v", input=given, labels=tuple(labels.split()), head=kind, threshold=threshold
    )
    return Predictor(contract, Fixed(*scores))


BLACK = np.zeros((4, 4, 3), np.uint8)


@pytest.mark.parametrize(("kind", "score"), [("sigmoid", 0.8), ("sigmoid-logits", np.log(4))])
def test_predictor_one_sigmoid_names_both_classes(kind: str, score: float) -> None:
    found = of_head(kind, "cat dog", score).predict(BLACK)
    assert [(p.label, p.index) for p in found] == [("dog", 1), ("cat", 0)]
    assert [p.probability for p in found] == pytest.approx([0.8, 0.2])


def test_predictor_one_sigmoid_names_what_it_decides_for_at_its_threshold_first() -> None:
    for threshold, first in ((0.5, "cat"), (0.2, "dog")):
        found = of_head("sigmoid", "cat dog", 0.3, threshold=threshold).predict(BLACK)
        assert found[0].label == first
        assert {p.label: pytest.approx(p.probability) for p in found} == {"cat": 0.7, "dog": 0.3}


def test_predictor_several_sigmoids_name_what_is_above_the_threshold() -> None:
    predictor = of_head("sigmoid", "a b c d", 0.4, 0.9, 0.6, 0.1)
    assert [p.label for p in predictor.predict(BLACK)] == ["b", "c"]
    assert [p.label for p in predictor.predict(BLACK, k=1)] == ["b"]
    low = of_head("sigmoid", "a b c d", 0.4, 0.9, 0.6, 0.1, threshold=0.3)
    assert [p.label for p in low.predict(BLACK)] == ["b", "c", "a"]
    assert of_head("sigmoid", "a b", 0.4, 0.5).predict(BLACK) == []


def test_predictor_of_an_embedding_gives_scores_and_no_classes() -> None:
    predictor = of_head("embedding", "", 0.6, -0.8)
    with pytest.raises(InputError, match="gives an embedding; take its scores"):
        predictor.predict(BLACK)
    assert predictor.scores(BLACK[np.newaxis])[0].tolist() == pytest.approx([0.6, -0.8])


def test_predictor_stays_usable_after_a_bad_picture(opened: Bundle, picture: Path) -> None:
    with load(opened.folder) as predictor:
        before = predictor.predict(picture)
        with pytest.raises(ImageError):
            predictor.predict(b"no picture")
        assert predictor.predict(picture) == before


def test_predictor_closed_is_closed_for_good_and_closing_twice_is_harmless(
    opened: Bundle, picture: Path
) -> None:
    with load(opened.folder) as predictor:
        predictor.close()
    with pytest.raises(InputError, match="is closed"):
        predictor.predict(picture)


@pytest.mark.parametrize("variant", VARIANTS)
def test_load_threads_change_no_label(variant: str, opened: Bundle, picture: Path) -> None:
    with load(opened.folder, variant=variant) as one, load(opened.folder, variant=variant, threads=2) as two:
        assert [p.label for p in one.predict(picture, k=3)] == [p.label for p in two.predict(picture, k=3)]


@pytest.mark.parametrize("threads", [0, -1, 10**11, "many"])
@pytest.mark.parametrize("variant", ["tflite-int8", "onnx-int8"])
def test_load_threads_that_cannot_be_are_refused(opened: Bundle, threads: Any, variant: str) -> None:
    with pytest.raises(InputError, match=f"got {threads}"):
        load(opened.folder, variant=variant, threads=threads)


def test_load_of_what_cannot_be_opened_is_refused_with_a_reason(opened: Bundle, tmp_path: Path) -> None:
    lone = opened.folder / "onnx-int8.onnx"
    with pytest.raises(InputError, match="which does not exist"):
        load(tmp_path / "nowhere")
    with pytest.raises(InputError, match="expected a bundle folder to choose variant 'onnx-int8' from"):
        load(lone, variant="onnx-int8")
    with pytest.raises(BundleError, match=r"expected a bundle, got .* without manifest\.json"):
        load(tmp_path)
    with pytest.raises(UnknownNameError, match="did you mean 'onnx-int8'"):
        load(opened.folder, variant="onnx-int9")
    (tmp_path / "plain.onnx").write_bytes(lone.read_bytes().replace(b"edgewright", b"someoneels"))
    with pytest.raises(ModelFileError, match=r"plain\.onnx carries no contract"):
        load(tmp_path / "plain.onnx")


def test_load_path_may_be_text(opened: Bundle) -> None:
    load(str(opened.folder / "onnx-int8.onnx")).close()
