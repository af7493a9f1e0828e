"""What benchmark_model and a phone print is read as it is printed, or refused in a line."""

from __future__ import annotations

import pytest

from edgewright.benchmarks.targets.adb import told
from edgewright.runtime.errors import TargetError

# As TFLite's tool prints it, an older one, LiteRT's own, and one whose runs all took the same.
NEW = """\
INFO: STARTING!
INFO: Explicitly applied GPU delegate, and the model graph will be completely executed by the delegate.
INFO: Initialized session in 1361.24ms.
INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
INFO: count=5 first=125113 curr=112537 min=111758 max=125113 avg=115344 std=4959 p5=111758 median=112912 p95=125113

INFO: Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
INFO: count=50 first=119614 curr=115889 min=111842 max=119614 avg=115246 std=1329 p5=112107 median=115350 p95=116620

INFO: Inference timings in us: Init: 1361236, First inference: 125113, Warmup (avg): 115344, Inference (avg): 115246
INFO: Memory footprint delta from the start of the tool (MB): init=14.4414 overall=14.8164
"""  # noqa: E501
OLD = """\
STARTING!
Initialized session in 17.187ms.
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
count=1 curr=3512391

Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
count=50 first=2990275 curr=2913402 min=2727568 max=3189954 avg=2.95034e+06 std=109798

Inference timings in us: Init: 17187, First inference: 3512391, Warmup (avg): 3.51239e+06, Inference (avg): 2.95034e+06
"""  # noqa: E501
LITERT = """\
INFO: [benchmark_model.cc:268] Initialized session in 3.5ms.
INFO: [benchmark_model.cc:200] count=9 first=81913 curr=55502 min=55502 max=81913 avg=58984.7 std=8115
INFO: [benchmark_model.cc:200] count=1061 first=56576 curr=56299 min=54669 max=60236 avg=56265.8 std=982
INFO: [benchmark_litert_model.h:98] Inference (avg):      56.27 ms (1061 runs)
"""
SAME = "Initialized session in 1ms.\ncount=3 curr=7(all same)\ncount=3 curr=8(all same)\n"


@pytest.mark.parametrize(
    ("said", "load", "first", "mean", "runs"),
    [
        (NEW, 1361240, 125113, 115246, 50),
        (OLD, 17187, 3512391, 2950340, 50),
        (LITERT, 3500, 81913, 56265.8, 1061),
        (SAME, 1000, 7, 8, 3),
    ],
)
def test_runs_are_read_as_each_tool_prints_them(
    said: str, load: float, first: float, mean: float, runs: int
) -> None:
    found = told.ran(said, "measuring x")
    assert (found.load_us, found.first_us, found.mean_us, found.runs) == (load, first, mean, runs)


def test_newer_tools_tell_percentiles_and_memory_too() -> None:
    found = told.ran(NEW, "measuring x")
    assert found.tails_us == {"p5": 112107, "median": 115350, "p95": 116620}
    assert found.footprint_mb == 14.8164
    assert told.ran(OLD, "x").tails_us == {}
    assert not told.not_wholly(NEW)
    assert told.not_wholly(
        "the model graph will be partially executed by the delegate w/ 2 delegate kernels."
    )


@pytest.mark.parametrize(
    "said",
    [
        "",
        "count=1 curr=5\ncount=1 curr=5\n",
        "Initialized session in 1ms.\ncount=1 curr=5\n",
        NEW.replace("avg=115246", "avg=-5"),
        NEW.replace("avg=115246", "avg=1e300"),
        NEW.replace("avg=115246", "avg=1e"),
        NEW.replace("count=50 ", "count=0 "),
        NEW.replace("count=50 ", "count=" + "9" * 29 + " "),
        NEW.replace("1361.24", "1361.24.24"),
        NEW.replace("p95=116620", "p95=1..2"),
        NEW.replace("overall=14.8164", "overall=9e99"),
        "\x1b[31mno\nroom\x07",
    ],
)
def test_other_output_is_refused_in_a_line(said: str) -> None:
    with pytest.raises(TargetError, match=r"^measuring x: expected ") as refused:
        told.ran(said, "measuring x")
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 400


def test_phone_is_what_it_says() -> None:
    said = """\
edgewright maker:Google
edgewright model:Pixel 8
edgewright soc:Tensor G3
edgewright abi:arm64-v8a
edgewright android:14
edgewright cores:9
edgewright flags:Features\t: fp asimd asimdhp asimddp i8mm
edgewright system:Linux 5.15
"""
    found = told.about(said, "X1")
    assert (found.title, found.abi, found.cores) == ("Google Pixel 8", "arm64-v8a", 9)
    assert found.isa == ("asimd", "asimdhp", "asimddp", "i8mm")
    environment = told.environment(found, "X1", {"versions": {"edgewright": "0.1.0"}})
    assert environment["cpu"] == "Google Pixel 8 (Tensor G3)"
    assert environment["system"] == "Android 14 Linux 5.15"


@pytest.mark.parametrize("abi", ["", "../../etc", "arm64;reboot", "x" * 100])
def test_phone_without_a_processor_is_no_phone(abi: str) -> None:
    with pytest.raises(TargetError, match="is it Android"):
        told.about(f"edgewright abi:{abi}\n", "X1")


def test_phone_says_what_it_likes_and_is_not_believed() -> None:
    found = told.about(
        "edgewright abi:x86_64\nedgewright cores:99999999999\nedgewright model:\x1b[31m" + "x" * 9000, "X1"
    )
    assert found.cores is None
    assert found.title.startswith("[31mxxx") and len(found.title) == 200
    assert told.about("edgewright abi:x86_64\n", "X1").title == "X1"


@pytest.mark.parametrize(
    ("said", "degrees"), [("", []), ("41000\n38500\n-40000\n999999\n", [41.0]), ("hot\n" * 10**5, [])]
)
def test_heat_is_that_of_the_hottest_sensor(said: str, degrees: list[float]) -> None:
    assert told.celsius(said) == degrees
