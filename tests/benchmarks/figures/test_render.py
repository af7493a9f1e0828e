"""Published figures are rendered, never typed: README and docs say what the results files say."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgewright.benchmarks.figures import publish, render
from edgewright.benchmarks.figures.pedigree import code, kinds, made
from edgewright.benchmarks.record import measurement
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.cli import main
from edgewright.runtime.disk.jsonio import JsonObject
from edgewright.runtime.errors import CheckpointError, InputError

ROOT = Path(__file__).resolve().parents[3]

ROW_KEYS = {
    "train": "recipe data seed epochs best_epoch seconds parameters train_accuracy validation_accuracy "
    "test_accuracy file_sha256 data_sha256 code",
    "export": "recipe data variant accuracy drop drop_low drop_high agreement tie_agreement max_abs_error "
    "bytes gzip_bytes samples verdict reason seed agreement_low agreement_high class_images class_lost "
    "class_won not_judged worst_class worst_class_drop worst_class_drop_low worst_class_drop_high "
    "calibration_drop calibration_drop_low calibration_drop_high chance bundle_wide brier ece file_sha256 "
    "data_sha256 code",
    "bench": "recipe variant target threads metric value low high unit file_sha256 code",
}


def test_render_check_readme_and_docs_show_the_published_results() -> None:
    papers = [ROOT / "README.md", ROOT / "docs"]
    assert {"README.md", "accuracy.md", "speed.md"} <= {page.name for page in render.pages(papers)}
    assert render.main(["--check", *map(str, papers)]) == 0


def test_render_tables_are_all_shown_in_readme_or_docs() -> None:
    pages = render.pages([ROOT / "README.md", ROOT / "docs"])
    shown = {name for page in pages for name in re.findall(r"<!-- table: (\w+) -->", page.read_text("utf-8"))}
    assert shown == {*render._RENDERERS, render.PEDIGREE}


def test_render_check_names_a_stale_table_and_leaves_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "docs" / "figures" / "train.md"
    page.parent.mkdir(parents=True)
    page.write_text("<!-- table: train -->\nold\n<!-- end -->\n")
    (page.parent / "other.md").write_text("no table\n")
    assert render.main(["--check", str(tmp_path / "docs")]) == 1
    assert f"in {page}, got others" in capsys.readouterr().err
    assert "old" in page.read_text()
    assert render.main([str(tmp_path / "docs")]) == 0
    assert "old" not in page.read_text()
    assert render.main(["--check", str(tmp_path / "docs")]) == 0


def test_render_says_below_a_table_that_earlier_code_made_its_rows(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    rows = [row("a", "keras-float32"), row("a", "tflite-int8", code="earlier")]
    publish.write(results / "export.json", {"versions": {}}, rows)
    (tmp_path / "docs").mkdir()
    page, readme = tmp_path / "docs" / "accuracy.md", tmp_path / "README.md"
    for paper in (page, readme):
        paper.write_text("<!-- table: drops -->\n<!-- end -->\n<!-- table: pedigree -->\n<!-- end -->\n")
    words = [str(readme), str(page.parent), "--results", str(results)]
    assert render.main(words) == 0
    said = "1 of 2 rows of `export.json` were made by earlier code or of files since replaced; "
    assert f"\n{said}`make results-export` makes them again.\n" in page.read_text()
    assert "| `export.json` | 2 | 1 | 0 | `make results-export` |" in page.read_text()
    assert "earlier" not in readme.read_text()
    made = page.read_text()
    page.write_text(made.replace("1 of 2 rows", "2 of 2 rows"))  # is no failure, as it changes with the code
    assert render.main(["--check", *words]) == 0
    assert render.main(words) == 0
    assert page.read_text() == made
    publish.write(results / "export.json", {"versions": {}}, rows[:1])
    assert render.main(["--check", *words]) == 1
    assert render.main(words) == 0
    assert said not in page.read_text()


def test_publish_takes_results_from_what_the_commands_wrote(
    checkpoint: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurement, "PROCESSES", 1)
    bench = tmp_path / "bench.json"
    words = ["--variants", "tflite-int8", "--seconds", "0.06", "--out", str(bench)]
    assert main(["bench", str(bundle), *words]) == 0
    out = tmp_path / "results"
    sources = {"train:fashion-mlp": checkpoint, "export": bundle, "bench:local": bench}
    for word, source in sources.items():
        kind = word.partition(":")[0]
        made_now(word, source)
        assert publish.main([kind, str(source), "--out", str(out)]) == 0
    for name, keys in ROW_KEYS.items():
        found = json.loads((out / f"{name}.json").read_text())
        assert found["schema_version"] == 1
        assert found["environment"]["versions"]["edgewright"]
        assert set(found["rows"][-1]) == set(keys.split())
        assert all(row["code"] == code.now(kinds.part(name, row)) for row in found["rows"])
    (tmp_path / "README.md").write_text("<!-- table: demo -->\nold\n<!-- end -->\n")
    assert render.main([str(tmp_path / "README.md"), "--results", str(out)]) == 0
    rendered = (tmp_path / "README.md").read_text()
    assert "old" not in rendered
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert f"{manifest['variants'][3]['bytes']:,}" in rendered


def test_publish_train_has_each_accuracy_under_its_own_name(trained: Path) -> None:
    figures = json.loads((trained / "checkpoint.json").read_text())["metrics"]
    figures |= {"train_accuracy": 0.75, "validation_accuracy": 0.5, "test_accuracy": 0.25}
    told = json.loads((trained / "checkpoint.json").read_text()) | {"metrics": figures}
    row = publish.train_row(JsonObject(told, "a checkpoint", CheckpointError))
    assert {name: row[f"{name}_accuracy"] for name in ("train", "validation", "test")} == {
        "train": 0.75,
        "validation": 0.5,
        "test": 0.25,
    }


def test_publish_export_has_a_row_of_each_variant_that_was_left_out(bundle: Path) -> None:
    manifest = Bundle.open(bundle).manifest
    judged = dataclasses.asdict(manifest.variants[0].parity) | {"verdict": "refused"}
    refused = (
        {"name": "tflite-int16x8", "reason": "too far", "bytes": 9, "gzip_bytes": 8, "parity": judged},
        {"name": "onnx-float16", "reason": "no such operator", "parity": None},
    )
    rows = publish.export_rows(dataclasses.replace(manifest, refused=refused))
    assert len(rows) == 1 + len(manifest.variants) + 2
    assert [(row["variant"], row["verdict"], row["reason"]) for row in rows[-2:]] == [
        ("tflite-int16x8", "refused", "too far"),
        ("onnx-float16", "failed", "no such operator"),
    ]


def test_render_names_an_unknown_table_and_missing_results(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="got 'sizes'"):
        render.render("<!-- table: sizes -->\n<!-- end -->", tmp_path)
    with pytest.raises(InputError, match=r"export\.json"):
        render.render("<!-- table: export -->\n<!-- end -->", tmp_path)


def test_publish_does_not_put_results_of_different_versions_into_one_table(
    checkpoint: Path, tmp_path: Path
) -> None:
    first = Path(shutil.copytree(checkpoint, tmp_path / "first"))
    found = json.loads((checkpoint / "checkpoint.json").read_text())
    found["versions"]["keras"] = "3.0.0"
    (checkpoint / "checkpoint.json").write_text(json.dumps(found))
    for folder in (first, checkpoint):
        made_now("train:fashion-mlp", folder)
    with pytest.raises(InputError, match="one set of versions"):
        publish.main(["train", str(first), str(checkpoint), "--out", str(checkpoint.parent / "out")])
    assert not (checkpoint.parent / "out").exists()


def made_now(word: str, out: Path) -> None:
    """As if the code of today had just made it."""
    made.stamp(word, out, code.now(made.part_of(word)[1]))


def row(recipe: str, variant: str, **figures: object) -> dict[str, object]:
    """A published row of an export, as far as tables need it."""
    parity = {"accuracy": 0.9, "drop": 0.01, "drop_low": 0.0, "drop_high": 0.02, "agreement": 0.99}
    parity |= {"tie_agreement": 1.0, "max_abs_error": 0.1}
    sizes = {"bytes": 1000, "gzip_bytes": 900}
    verdict = "passed"
    if variant == "keras-float32":
        parity, verdict = {"accuracy": 0.91}, "reference"
    common = {"recipe": recipe, "data": "mnist", "variant": variant, "seed": 0, "samples": 500}
    return {**common, **sizes, **parity, "verdict": verdict, "reason": "", **figures}


def shown(table: str, rows: list[dict[str, object]], folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    publish.write(folder / "export.json", {"versions": {}}, rows)
    return render.render(f"<!-- table: {table} -->\n<!-- end -->", folder)


def test_render_passes_beside_the_plain_variant_of_their_scheme(tmp_path: Path) -> None:
    rows = [row("a", "keras-float32"), row("a", "tflite-int8"), row("a", "tflite-float16")]
    text = shown("passes", [*rows, row("a", "prune80+tflite-int8", gzip_bytes=300)], tmp_path)
    assert "| `prune80+tflite-int8` | 0.9000 | +0.0100 [+0.0000, +0.0200] | 1,000 | 300 | 3.00x |" in text
    assert "| `tflite-int8` |" in text
    assert "float16" not in text


def test_render_refused_variant_as_such(tmp_path: Path) -> None:
    refused = row("a", "tflite-int8", verdict="refused", reason="too far")
    failed = {**row("a", "keras-float32"), "variant": "onnx-int8", "verdict": "failed", "reason": "no op"}
    demo = [row("b", name, data="fashion-mini") for name in ("tflite-float32", "tflite-int8", "onnx-int8")]
    rows = [row("a", "keras-float32", bytes=4000), refused, failed, *demo]
    assert "| 91.00 | - | refused | failed | 4.0x |" in shown("drops", rows, tmp_path)
    assert "| no op |" in shown("export", rows, tmp_path)


def test_render_demo_as_a_table_of_its_own(tmp_path: Path) -> None:
    rows = [row("a", "keras-float32"), row("b", "keras-float32", data="fashion-mini", bytes=77)]
    assert "| 77 |" in shown("demo", rows, tmp_path)
    assert "77" not in shown("export", rows, tmp_path) + shown("drops", rows, tmp_path)


def test_publish_keeps_rows_of_other_recipes_unless_versions_have_changed(
    bundle: Path, tmp_path: Path
) -> None:
    versions = Bundle.open(bundle).manifest.versions
    made_now("export", bundle)
    out = tmp_path / "export.json"
    for held, stay in ((dict(versions), True), ({**versions, "numpy": "0"}, False)):
        publish.write(out, {"versions": held}, [row("other", "keras-float32", code="earlier")])
        assert publish.main(["export", str(bundle), "--out", str(tmp_path)]) == 0
        assert publish.main(["export", str(bundle), "--out", str(tmp_path)]) == 0
        rows = json.loads(out.read_text())["rows"]
        recipes = [found["recipe"] for found in rows]
        assert [found["code"] for found in rows if found["recipe"] == "other"] == ["earlier"] * stay
        assert ("other" in recipes) is stay
        assert len(recipes) == len(Bundle.open(bundle).manifest.variants) + 1 + stay


def test_publish_train_keeps_rows_of_other_seeds_and_the_table_shows_their_mean_and_range(
    checkpoint: Path, tmp_path: Path
) -> None:
    told = json.loads((checkpoint / "checkpoint.json").read_text())
    out = tmp_path / "out"
    for seed, accuracy, epochs in ((0, 0.75, 9), (1, 0.5, 9), (2, 0.85, 12), (1, 0.8, 9)):
        told |= {"seed": seed, "training": {**told["training"], "epochs": epochs, "seconds": 10.0 * epochs}}
        told["metrics"]["test_accuracy"] = accuracy
        (checkpoint / "checkpoint.json").write_text(json.dumps(told))
        made_now("train:fashion-mlp", checkpoint)
        assert publish.main(["train", str(checkpoint), "--out", str(out)]) == 0
    rows = json.loads((out / "train.json").read_text())["rows"]
    assert {row["seed"]: row["test_accuracy"] for row in rows} == {0: 0.75, 1: 0.8, 2: 0.85}
    table = render.render("<!-- table: train -->\n<!-- end -->", out)
    (line,) = (line for line in table.splitlines() if line.startswith("| `"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert (cells[3], cells[4], cells[6]) == ("3", "9 to 12", "100")
    assert cells[-1] == "0.8000 (0.7500 to 0.8500)"


def test_publish_of_one_target_keeps_the_others_rows_and_the_machine_they_are_of(
    made: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts are the same under any load: times keep the circumstances they were taken in."""
    busy = {**made.record([]).environment, "load_1min": 99.0}
    timed = [{**row, "code": "as it was"} for row in publish.bench_rows(made.record(made.timed()))]
    publish.write(tmp_path / "bench.json", made.record([]).environment, timed)
    counted = publish.bench_rows(made.record(made.counted()))
    monkeypatch.setattr(publish, "_rows", lambda kind, path: (busy, counted))
    for _ in range(2):
        assert publish.main(["bench", "counted.json", "--out", str(tmp_path)]) == 0
        found = json.loads((tmp_path / "bench.json").read_text())
        assert found["environment"]["load_1min"] == 0.5
        assert [row for row in found["rows"] if row["target"] == "local"] == json.loads(json.dumps(timed))
        assert len([row for row in found["rows"] if row["target"] == "arm64"]) == len(counted)


def test_publish_refuses_two_bundles_that_disagree(bundle: Path, tmp_path: Path) -> None:
    made_now("export", bundle)
    assert publish.main(["export", str(bundle), str(bundle), "--out", str(tmp_path)]) == 0
    manifest = Bundle.open(bundle).manifest
    rows = publish.export_rows(manifest)
    with pytest.raises(InputError, match="got two that differ"):
        publish.each_once([*rows, {**rows[1], "accuracy": 0.1}])


def test_render_bench_gives_times_and_counts_a_table_each(made: SimpleNamespace, tmp_path: Path) -> None:
    record = made.record([*made.timed(), *made.timed("onnx-int8"), *made.counted()])
    rows = publish.bench_rows(record)
    assert {tuple(row) for row in rows} == {tuple(ROW_KEYS["bench"].split()[:-2])}
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows)
    publish.write(tmp_path / "bench.json", record.environment, rows)
    shown = render.render("<!-- table: bench -->\n<!-- end -->", tmp_path)
    lines = [line for line in shown.splitlines() if line.startswith("| `")]
    assert [line.split(" | ")[0] for line in lines] == ["| `tflite-int8`", "| `onnx-int8`", "| `tflite-int8`"]
    assert "1,000 | 203,264 | 5.1 % | 50.0 MiB |" in lines[0]
    assert "`arm64` | 203,264 | 458,292 | 0 |" in lines[2]
    assert "Milliseconds, one thread, load 0.5 at the start: A CPU, 2 cores (virtual machine)" in shown
    assert shown.count("### `") == 1


def test_render_bench_makes_a_table_of_counts_alone(made: SimpleNamespace, tmp_path: Path) -> None:
    record = made.record(made.counted())
    publish.write(tmp_path / "bench.json", record.environment, publish.bench_rows(record))
    shown = render.render("<!-- table: bench -->\n<!-- end -->", tmp_path)
    assert "a76 instructions" in shown
    assert "Milliseconds" not in shown
