"""Many pictures give, in order, what each gives alone; a bad one is reported in its place."""

from __future__ import annotations

import io
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgewright.export.exporter import Result
from edgewright.runtime import FailedImage, Predictor, load, preprocess
from edgewright.runtime.backends import Pixels
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.contract import InputContract
from edgewright.runtime.errors import ImageError, InputError
from edgewright.runtime.predictor.predictor import _forked
from edgewright.runtime.verification import GOLDEN_INPUTS, read_golden

Fresh = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def images(exported: tuple[Path, Result]) -> list[Pixels]:
    return list(read_golden(Bundle.open(exported[0]))[GOLDEN_INPUTS])


@pytest.fixture(params=["tflite-int8", "onnx-float32"])
def predictor(request: pytest.FixtureRequest, exported: tuple[Path, Result]) -> Iterator[Predictor]:
    with load(exported[0], variant=request.param) as opened:
        yield opened


@pytest.mark.parametrize("workers", [None, 1, 2, 5])
@pytest.mark.parametrize("batch", [None, 3])
def test_predict_many_gives_order_and_answers_of_one_by_one(
    predictor: Predictor, images: list[Pixels], workers: int | None, batch: int | None
) -> None:
    expected = [predictor.predict(image, k=2) for image in images] * 3
    assert list(predictor.predict_many(images * 3, k=2, workers=workers, batch=batch)) == expected


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("batch", [1, 4])
def test_predict_many_reports_a_bad_picture_in_its_place_and_ends_nothing(
    predictor: Predictor, images: list[Pixels], workers: int, batch: int
) -> None:
    found = list(predictor.predict_many([b"bad", *images, "nowhere.png"], workers=workers, batch=batch))
    assert found[1:-1] == [predictor.predict(image) for image in images]
    for failed, source in ((found[0], b"bad"), (found[-1], "nowhere.png")):
        assert isinstance(failed, FailedImage)
        assert failed.source == source
        assert isinstance(failed.error, ImageError)


@pytest.mark.parametrize("workers", [1, 3])
def test_predict_many_reports_a_picture_without_memory_for_it_and_ends_nothing(
    predictor: Predictor, images: list[Pixels], workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fitted(picture: Image.Image, contract: InputContract) -> Pixels:
        if picture.size == (1, 1):
            raise MemoryError
        return real(picture, contract)

    real = preprocess.fitted
    monkeypatch.setattr(preprocess, "fitted", fitted)
    given = [images[0], np.zeros((1, 1), np.uint8), images[1]]
    found = list(predictor.predict_many(given, workers=workers))
    assert found[::2] == [predictor.predict(image) for image in images[:2]]
    assert isinstance(found[1], FailedImage)
    assert "fits into memory" in str(found[1].error)


@pytest.mark.parametrize(("workers", "batch"), [(1, 1), (2, 3), (4, 1)])
def test_predict_many_takes_no_more_than_was_promised(
    predictor: Predictor, images: list[Pixels], workers: int, batch: int
) -> None:
    taken = 0

    def endless() -> Iterator[Pixels]:
        nonlocal taken
        while True:
            taken += 1
            yield images[taken % len(images)]

    stream = predictor.predict_many(endless(), workers=workers, batch=batch)
    for given in range(1, 20):
        next(stream)
        assert taken - given <= 2 * workers * batch


FORKS = """
import os, signal, sys, threading, time
from edgewright.runtime import load

bundle, variant, picture, count = sys.argv[1:5]
predictor = load(bundle, variant=variant, threads=2)
expected = predictor.predict(picture)

def work():
    while True:
        predictor.predict(picture)

for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
children = []
for _ in range(int(count)):
    time.sleep(0.01)
    child = os.fork()
    if child == 0:
        alone = predictor.predict(picture) == expected
        many = list(predictor.predict_many([picture] * 3, workers=2)) == [expected] * 3
        predictor.close()
        os._exit(0 if alone and many else 1)
    children.append(child)
end, found = time.monotonic() + 40, []
for child in children:
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done or time.monotonic() > end:
            break
        time.sleep(0.01)
    if not done:
        os.kill(child, signal.SIGKILL)
    found.append(status if done else "hung")
print(found, flush=True)
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes are forked there")
@pytest.mark.parametrize("variant", ["tflite-int8", "onnx-float32"])
def test_predictor_goes_on_in_a_child_that_was_forked_while_threads_predict(
    variant: str, exported: tuple[Path, Result], fresh: Fresh
) -> None:
    picture = Path(__file__).resolve().parents[2] / "docs/ankle-boot.png"
    done = fresh(exported[0], variant, picture, 8, code=FORKS)
    assert done.stdout == f"{[0] * 8}\n", done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes are forked there")
def test_predictor_of_ones_own_session_says_so_in_a_child(predictor: Predictor, images: list[Pixels]) -> None:
    own = Predictor(predictor.contract, predictor.session)
    _forked()
    with pytest.raises(InputError, match="a fork of it"):
        own.predict(images[0])
    assert predictor.predict(images[0])


def test_predict_many_that_is_left_leaves_no_thread(predictor: Predictor, images: list[Pixels]) -> None:
    before = threading.active_count()
    stream = predictor.predict_many(iter(images), workers=3)
    next(stream)
    assert threading.active_count() > before
    stream.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    assert len(predictor.predict(images[0])) == 5


def test_predict_many_lets_through_what_the_source_of_images_raises(
    predictor: Predictor, images: list[Pixels]
) -> None:
    def broken() -> Iterator[Pixels]:
        yield from images[:2]
        raise OSError("the camera is gone")

    with pytest.raises(OSError, match="camera"):
        list(predictor.predict_many(broken(), workers=2))


def test_predict_many_of_no_image_gives_nothing(predictor: Predictor) -> None:
    assert list(predictor.predict_many([], workers=2)) == []


@pytest.mark.parametrize("what", ["k", "workers", "batch"])
def test_predict_many_refuses_a_number_below_one_before_any_image_is_taken(
    predictor: Predictor, what: str
) -> None:
    with pytest.raises(InputError, match=f"expected {what} of at least 1, got 0"):
        predictor.predict_many(iter([]), **{what: 0})  # type: ignore[arg-type]


def test_predict_many_streams_may_run_at_the_same_time_and_a_closed_predictor_ends_them(
    predictor: Predictor, images: list[Pixels]
) -> None:
    expected = [predictor.predict(image) for image in images]
    first, second = (predictor.predict_many(images, workers=2) for _ in range(2))
    assert [(next(first), next(second)) for _ in images] == [(one, one) for one in expected]
    third = predictor.predict_many(images, workers=2)
    predictor.close()
    with pytest.raises(InputError, match="is closed"):
        list(third)


def test_predict_many_decodes_encoded_pictures_in_the_workers(predictor: Predictor) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (6, 40, 50), np.uint8)
    encoded = []
    for array in noise:
        memory = io.BytesIO()
        Image.fromarray(array).save(memory, "PNG")
        encoded.append(memory.getvalue())
    assert list(predictor.predict_many(encoded, workers=2)) == [predictor.predict(a) for a in noise]
