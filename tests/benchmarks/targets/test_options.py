"""A target is one file: its options are offered, given to it and refused by others with no edit elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgewright.benchmarks import targets
from edgewright.runtime import plugins
from edgewright.runtime.errors import InputError

Run = Callable[..., tuple[int, str, str]]
MADE_UP = """
from edgewright.benchmarks.record.measurement import Measurement
from edgewright.benchmarks.targets import Option, Target
from edgewright.benchmarks.targets.arm64 import TARGET as ARM64


class MadeUp(Target):
    title = summary = "a board that nobody has"
    repeats = False
    options = (
        *ARM64.options,
        Option(name="board-name", metavar="NAME", help="which one"),
        Option(name="loud", help="with lights"),
    )

    def missing(self):
        return ""

    def check(self, bundle, variant, plan):
        pass

    def run(self, bundle, variant, plan, say):
        say("setting up a board")
        return Measurement(
            variant=variant,
            target="made-up",
            threads=1,
            kernels="none",
            samples_ns={},
            peak_rss_bytes=0,
            base_rss_bytes=0,
            environment={"cpu": plan.options["board-name"]},
            counts={"cycles": [7.0]},
        )


TARGET = MadeUp()
"""


@pytest.fixture(autouse=True)
def _one_more_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "more").mkdir()
    (tmp_path / "more/made_up.py").write_text(MADE_UP)
    monkeypatch.setattr(targets, "__path__", [*targets.__path__, str(tmp_path / "more")])
    plugins.names.cache_clear()
    yield
    plugins.names.cache_clear()
    sys.modules.pop("edgewright.benchmarks.targets.made_up", None)


def test_target_options_are_given_to_it(run: Run, bundle: Path) -> None:
    words = ("--target", "made-up", "--board-name", "nano", "--loud", "--variants", "tflite-int8")
    status, said, complaints = run("bench", bundle, *words)
    assert (status, complaints) == (0, "")
    assert said.startswith("setting up a board\nnano\n")
    record = json.loads(bundle.with_name("bundle-bench.json").read_bytes())
    assert record["plans"][0]["options"] == {"board-name": "nano", "loud": "yes"}


def test_bench_help_shows_options_under_the_targets_that_take_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from edgewright.runtime.cli import main

    with pytest.raises(SystemExit):
        main(["bench", "--help"])
    said = " ".join(capsys.readouterr().out.split()).replace("made- up", "made-up")  # a line may end there
    assert "made-up (a board that nobody has)" in said
    assert "--target arm64 or gpu or made-up or micro or ssh: --images FILE.npz" in said
    assert "--target made-up: --board-name NAME which one --loud with lights" in said


@pytest.mark.parametrize(
    ("target", "option", "takers"),
    [
        ("local", "images", "arm64, gpu, made-up, micro, ssh"),
        ("arm64", "board-name", "made-up"),
        ("local", "host", "none does"),
    ],
)
def test_target_option_of_another_target_is_refused(target: str, option: str, takers: str) -> None:
    with pytest.raises(InputError) as refused:
        targets.check_options(target, [option])
    assert str(refused.value) == (f"expected --{option} with a target that takes it ({takers}), got {target}")


def test_target_options_are_listed_without_numpy(fresh: Callable[..., Any]) -> None:
    code = """
from edgewright.benchmarks import targets
assert {"images", "headless", "lan"} <= {option.name for option in targets.options()}
assert "numpy" not in sys.modules
"""
    done = fresh(code=code)
    assert done.returncode == 0, done.stderr
