"""`edgewright report` on a real bundle: what is on the page, and that nothing in a bundle can break it."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
import shutil
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgewright.benchmarks.report import facts
from edgewright.runtime.bundle.evidence import read_evidence
from edgewright.runtime.bundle.manifest import MANIFEST, Bundle, Manifest

Run = Callable[..., tuple[int, str, str]]
WriteBench = Callable[..., Path]
HOSTILE = '<script>alert(1)</script>" onload="x $\\frac{1}$ | *b* `c`\n# d'
SIX = ["tflite-float32", "tflite-float16", "tflite-dynamic-int8", "tflite-int8", "onnx-float32", "onnx-int8"]


class Page(HTMLParser):
    """The tags and the text of a page, and what in it leads somewhere."""

    def __init__(self, raw: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(raw)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [
            value or ""
            for name, value in attrs
            if name in ("src", "href", "xlink:href", "action", "data", "srcset")
        ]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def change(bundle: Path, **changes: Any) -> None:
    path = bundle / MANIFEST
    manifest = Manifest.from_bytes(path.read_bytes(), str(path))
    path.write_bytes(dataclasses.replace(manifest, **changes).to_bytes())


@pytest.fixture
def measured_bundle(bundle: Path, write_bench: WriteBench) -> Path:
    write_bench(bundle.with_name("bundle-bench.json"), {name: 1.0 + i for i, name in enumerate(SIX[::-1])})
    return bundle


def test_report_page_is_whole_and_says_what_was_found(
    run: Run, measured_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "deep/report.html"
    status, said, complaints = run("report", measured_bundle, "--out", out)
    assert (status, complaints) == (0, "")
    assert said.splitlines()[-1] == f"wrote {out}"
    page = Page(raw := out.read_text(encoding="utf-8"))
    assert "Ship onnx-int8 : it is the fastest (1.00\xa0ms a picture".replace("\xa0", " ") in page.text
    for name in SIX:
        assert name in page.text
    for word in (
        "Glossary",
        "Pareto front",
        "Class by class",
        "Ankle boot",
        "Test CPU",
        "Where they disagree",
    ):
        assert word in page.text
    assert page.tags.count("script") == 1
    assert raw.count("<figure>") == 2
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in page.links), page.links
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\((?!#)", raw)
    assert "None" not in page.text.replace("None.", "")
    assert list(out.parent.iterdir()) == [out]


def test_report_pictures_are_the_disagreements_of_the_bundle(run: Run, bundle: Path, tmp_path: Path) -> None:
    assert run("report", bundle, "--out", tmp_path / "r.html")[0] == 0
    uris = re.findall(
        r'src="data:image/png;base64,([^"]+)"', (tmp_path / "r.html").read_text(encoding="utf-8")
    )
    shown = [np.asarray(Image.open(io.BytesIO(base64.b64decode(uri)))) for uri in uris]
    evidence = read_evidence(Bundle.open(bundle))
    assert evidence is not None
    expected = [d.image[:, :, 0] for name in SIX for d in evidence[name].worst]
    assert len(shown) == len(expected) > 0
    for one, other in zip(shown, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_report_without_measurements_says_how_to_get_them(run: Run, bundle: Path, tmp_path: Path) -> None:
    status, said, complaints = run("report", bundle, "--out", tmp_path / "r.html")
    assert (status, complaints) == (0, "")
    assert f"edgewright bench {bundle}" in said
    raw = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert f"edgewright bench {bundle}" in Page(raw).text
    assert raw.count("<figure>") == 1
    assert "p50" not in raw.partition("</thead>")[0]


def test_report_of_an_old_bundle_without_evidence_still_gives_a_page(
    run: Run, bundle: Path, tmp_path: Path
) -> None:
    (bundle / "evidence.npz").unlink()
    change(bundle, evidence=None)
    assert run("report", bundle, "--out", tmp_path / "r.html")[0] == 0
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert page.text.count("This bundle was written before bundles kept it") == 2
    assert "img" not in page.tags


def test_report_shows_names_from_hostile_files_as_text_only(
    run: Run, bundle: Path, write_bench: WriteBench, tmp_path: Path
) -> None:
    manifest = Bundle.open(bundle).manifest
    change(
        bundle,
        name=HOSTILE,
        labels=(HOSTILE, *manifest.labels[1:]),
        variants=tuple(dataclasses.replace(v, name=f"{HOSTILE}{i}") for i, v in enumerate(manifest.variants)),
        refused=({"name": HOSTILE, "reason": HOSTILE},),
        provenance={"data": {"name": HOSTILE, "sha256": 3}, "max_drop": HOSTILE},
        versions={HOSTILE: HOSTILE},
    )
    bench = write_bench(
        tmp_path / "bench.json",
        {f"{HOSTILE}{i}": 1.0 for i in range(6)},
        bundle=HOSTILE,
        notes=lambda name: [HOSTILE],
        kernels=HOSTILE,
        target=HOSTILE,
        surroundings={
            "cpu": HOSTILE,
            "isa": [HOSTILE, {}],
            "versions": {HOSTILE: [HOSTILE]},
            "cores": HOSTILE,
        },
    )
    for name in ("r.html", "r.md", "r.json"):
        status, _, complaints = run("report", bundle, "--out", tmp_path / name, "--bench", bench)
        assert (status, complaints) == (0, ""), name
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert page.tags.count("script") == 1
    assert "alert(1)" in page.text
    markdown = (tmp_path / "r.md").read_text(encoding="utf-8")
    assert "<script" not in markdown.replace("\\<script", "")
    assert not re.search(r"(?m)^# d", markdown)
    tables = [part.splitlines() for part in markdown.split("\n\n") if part.startswith("|")]
    assert len(tables) == 2
    for rows in tables:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert json.loads((tmp_path / "r.json").read_bytes())["tasks"][0]["bundles"][0]["model"] == HOSTILE


def test_report_puts_several_bundles_on_one_page(run: Run, measured_bundle: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(measured_bundle, tmp_path / "other"))
    change(other, name="another")
    third = Path(shutil.copytree(measured_bundle, tmp_path / "third"))
    change(third, provenance={"data": {"name": "elsewhere", "sha256": "5"}})
    status, said, complaints = run("report", measured_bundle, other, third, "--out", tmp_path / "r.html")
    assert (status, complaints) == (0, "")
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert (
        said.count("ship ") == page.text.count("Ship ") == 2
    )  # the first two were judged on the same images
    assert f"fashion-mlp ({third})" in page.text  # two of one model are told apart by their folders
    run("report", measured_bundle, other, third, "--out", tmp_path / "r.json")
    tasks = json.loads((tmp_path / "r.json").read_bytes())["tasks"]
    assert [len(task["bundles"]) for task in tasks] == [2, 1]
    assert not tasks[0]["recommended"]["by_speed"]  # the second was not measured


def test_report_shows_of_many_classes_those_that_changed_most(
    run: Run, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "MAX_CLASSES", 3)
    evidence = read_evidence(Bundle.open(bundle))
    assert evidence is not None
    changed = np.max([np.abs(one.won - one.lost) / one.images for one in evidence.values()], axis=0)
    (subject,) = facts.gather([bundle]).subjects
    assert len(subject.shown_classes) == 3
    assert changed[list(subject.shown_classes)].sum() == pytest.approx(np.sort(changed)[-3:].sum())
    assert run("report", bundle, "--out", tmp_path / "r.html")[0] == 0
    assert "The 3 classes of 10 that changed most" in (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("lost", "won", "chance"),
    [
        (0, 0, 1.0),
        (5, 5, 1.0),
        (6, 0, 2 / 64),
        (0, 6, 2 / 64),
        (8, 2, 0.109375),
        (600, 500, 0.00284),
        (10**9, 10**9, 1.0),
    ],
)
def test_report_chance_is_told_by_mcnemars_exact_test(lost: int, won: int, chance: float) -> None:
    assert facts.chance(lost, won) == pytest.approx(chance, rel=0.01)


def test_report_warns_of_measurements_of_other_files_and_machines(
    bundle: Path, write_bench: WriteBench, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(bundle, tmp_path / "other"))
    change(other, name="another")
    first = write_bench(tmp_path / "first.json", {"tflite-int8": 1.0})
    data = json.loads(first.read_bytes())
    data["models"] = {
        "tflite-int8": {"bytes": 5},
        "onnx-int8": {"bytes": (bundle / "onnx-int8.onnx").stat().st_size},
    }
    first.write_text(json.dumps(data))
    second = write_bench(
        tmp_path / "second.json", {"tflite-int8": 1.0}, bundle="another", surroundings={"cpu": "Else"}
    )
    (task,) = facts.gather([bundle, other], [first, second]).tasks
    assert (
        "what was measured of tflite-int8 is left out: it was another file then" in task.subjects[0].warnings
    )
    assert task.subjects[0].rows[3].latency is None
    assert task.subjects[1].rows[3].latency


def test_report_shows_each_machine_as_a_place_of_its_own(
    run: Run, bundle: Path, write_bench: WriteBench, tmp_path: Path
) -> None:
    here = write_bench(tmp_path / "here.json", dict.fromkeys(SIX[:3], 2.0))
    there = write_bench(tmp_path / "there.json", {SIX[0]: 1.0}, surroundings={"cpu": "Else"})
    words = ("report", bundle, "--bench", here, "--bench", there)
    for name in ("r.html", "r.json", "r.md"):
        assert run(*words, "--out", tmp_path / name)[::2] == (0, "")
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    for place in ("local, 1 thread, Test CPU", "local, 1 thread, Else"):
        assert place in page.text
    assert "not measured (local, 1 thread, Test CPU): tflite-int8, onnx-float32, onnx-int8" in page.text
    report = json.loads((tmp_path / "r.json").read_bytes())
    assert report["place"] == "local, 1 thread, Test CPU"  # where most files were measured
    latencies = [v["latency_ms"] for v in report["tasks"][0]["bundles"][0]["variants"]]
    assert [e and round(e["value"]) for e in latencies] == [2, 2, 2, None, None, None]
    assert len(report["tasks"][0]["bundles"][0]["environments"]) == 2
    assert "was measured on Test CPU, 2 cores and Else, 2 cores" in (tmp_path / "r.md").read_text().replace(
        "Else, 2 cores and Test CPU, 2 cores", "Test CPU, 2 cores and Else, 2 cores"
    )


def test_report_tells_what_was_measured_with_other_versions(
    bundle: Path, write_bench: WriteBench, tmp_path: Path
) -> None:
    paths = [
        write_bench(
            tmp_path / f"{version}.json", {name: 1.0}, surroundings={"versions": {"onnxruntime": version}}
        )
        for name, version in (("onnx-float32", "1.20"), ("onnx-int8", "1.23"))
    ]
    (subject,) = facts.gather([bundle], paths).subjects
    assert (
        "measured with several versions of onnxruntime, which may differ in speed: 1.20 (onnx-float32) and "
        "1.23 (onnx-int8)"
    ) in subject.warnings


def test_report_in_markdown_and_json_says_the_same(run: Run, measured_bundle: Path, tmp_path: Path) -> None:
    assert run("report", measured_bundle, "--out", tmp_path / "r.md")[0] == 0
    assert run("report", measured_bundle, "--out", tmp_path / "r.json")[0] == 0
    data = json.loads((tmp_path / "r.json").read_bytes())
    assert data["schema_version"] == 1
    (task,) = data["tasks"]
    assert task["recommended"]["variant"] == "onnx-int8"
    (subject,) = task["bundles"]
    assert [v["variant"] for v in subject["variants"]] == SIX
    assert subject["variants"][-1]["latency_ms"]["value"] == pytest.approx(1.0, rel=0.1)
    assert sum(subject["classes"]["tflite-int8"]["images"]) == 2000
    markdown = (tmp_path / "r.md").read_text(encoding="utf-8")
    assert markdown.startswith("**Ship onnx-int8**: it is the fastest")
    assert sum(line.startswith("|") for line in markdown.splitlines()) == 8 + 8  # and what else was judged
    assert "| worst class, points |" in markdown
    assert "<" not in markdown


def test_report_of_the_same_bundle_gives_the_same_bytes(
    run: Run, measured_bundle: Path, tmp_path: Path
) -> None:
    pages = []
    for name in ("a.html", "b.html"):
        assert run("report", measured_bundle, "--out", tmp_path / name)[0] == 0
        pages.append((tmp_path / name).read_bytes())
    assert pages[0] == pages[1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--out", "report.pdf"), "to end in .html, .json, .md, got report.pdf"),
        (("--out", "report"), "to end in"),
        (("--out", "r.html", "--bench", "none.json"), "cannot read none.json"),
        (("none", "--out", "r.html"), "expected a bundle, got none without manifest.json"),
    ],
)
def test_report_options_that_cannot_be_used_get_one_line(
    run: Run, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    status, said, complaints = run("report", bundle, *words)
    assert (status, said) == (1, "")
    assert says in complaints
    assert complaints.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda b: (b / "evidence.npz").write_bytes(b"no"), "evidence.npz is damaged"),
        (lambda b: (b / "evidence.npz").unlink(), "evidence.npz, which manifest.json lists"),
        (lambda b: (b / MANIFEST).write_bytes(b"{"), "expected JSON in"),
        (lambda b: b.with_name("bundle-bench.json").write_bytes(b"[]"), "expected a JSON object in"),
        (
            lambda b: change(b, reference={**Bundle.open(b).manifest.reference, "accuracy": 1e300}),
            "expected accuracies from 0 to 1",
        ),
    ],
)
def test_report_of_what_is_broken_gets_one_line_and_leaves_the_old_page(
    run: Run, bundle: Path, tmp_path: Path, break_it: Callable[[Path], object], says: str
) -> None:
    out = tmp_path / "r.html"
    out.write_text("old")
    break_it(bundle)
    status, said, complaints = run("report", bundle, "--out", out)
    assert (status, said) == (1, "")
    assert says in complaints
    assert complaints.count("\n") == 1
    assert out.read_text() == "old"


def test_report_refuses_measurements_of_another_bundle_and_one_bundle_twice(
    run: Run, bundle: Path, write_bench: WriteBench, tmp_path: Path
) -> None:
    bench = write_bench(tmp_path / "bench.json", {"tflite-int8": 1.0}, bundle="other")
    _, _, complaints = run("report", bundle, "--bench", bench, "--out", tmp_path / "r.html")
    assert "got those of 'other', as which none is known here" in complaints
    _, _, complaints = run("report", bundle, bundle, "--out", tmp_path / "r.html")
    assert "expected different bundles and files" in complaints


@pytest.mark.parametrize("suffix", ["tflite", "onnx"])
def test_report_of_a_lone_file_says_what_it_costs_and_claims_nothing_else(
    run: Run, bundle: Path, write_bench: WriteBench, tmp_path: Path, suffix: str
) -> None:
    file = Path(shutil.copy(bundle / f"{suffix}-int8.{suffix}", tmp_path / f"mine.{suffix}"))
    write_bench(tmp_path / f"mine.{suffix}-bench.json", {"mine": 3.0}, bundle="mine")
    for name in ("r.html", "r.md", "r.json"):
        assert run("report", file, "--out", tmp_path / name)[::2] == (0, "")
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    markdown = (tmp_path / "r.md").read_text(encoding="utf-8")
    for text in (page.text, markdown):
        assert "3.00" in text
        assert "whether they do what their models did is not known here" in text
        for claim in ("accuracy", "pictures right", "Ship", "Keras"):
            assert claim not in text, claim
    data = json.loads((tmp_path / "r.json").read_bytes())
    assert data["tasks"] == []
    assert data["files"][0]["latency_ms"]["value"] == pytest.approx(3, rel=0.1)
    assert f"What it costs: mine.{suffix}" in page.text


def test_report_puts_lone_files_beside_bundles_and_leaves_out_stale_figures(
    run: Run, measured_bundle: Path, write_bench: WriteBench, tmp_path: Path
) -> None:
    files = [
        Path(shutil.copy(measured_bundle / f"{s}-int8.{s}", tmp_path / f"mine.{s}"))
        for s in ("tflite", "onnx")
    ]
    bench = write_bench(tmp_path / "b.json", {"mine": 3.0}, bundle="mine")
    data = json.loads(bench.read_bytes())
    data["models"] = {"mine": {"bytes": files[1].stat().st_size}}  # which of the two was measured
    bench.write_text(json.dumps(data))
    report = facts.gather([measured_bundle, *files], [bench])
    assert [file.row.figures is None for file in report.files] == [True, False]
    assert report.tasks[0].advice.best.name == "onnx-int8"
    status, said, _ = run("report", measured_bundle, *files, "--bench", bench, "--out", tmp_path / "r.html")
    assert status == 0
    assert f"speed of mine.tflite was not measured; to have it: edgewright bench {files[0]}" in said
    files[1].write_bytes(files[1].read_bytes() + b" ")
    (lone,) = facts.gather([files[1]], [bench]).files
    assert lone.row.figures is None
    assert lone.warnings == ("what was measured of mine is left out: it was another file then",)


def test_report_refuses_a_file_that_is_no_model(run: Run, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    status, said, complaints = run("report", bundle, tmp_path / "notes.txt", "--out", tmp_path / "r.html")
    assert (status, said, complaints.count("\n")) == (1, "", 1)
    assert "got 'notes.txt'" in complaints


def test_report_without_a_package_names_its_extra(
    run: Run, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    status, _, complaints = run("report", bundle, "--out", tmp_path / "r.html")
    assert status == 1
    assert "pip install 'edgewright[bench]'" in complaints
    assert run("report", bundle, "--out", tmp_path / "r.md")[0] == 0
