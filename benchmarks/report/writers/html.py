"""One page for people, whole in itself: no request leaves it, and no script but its own may run in it."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgewright.benchmarks.report import advice, explained, judged, pareto, wording
from edgewright.benchmarks.report.facts import Measured, Report, Task
from edgewright.benchmarks.report.glossary import glossary
from edgewright.runtime import plugins
from edgewright.runtime.errors import MissingExtraError

_TINT_POINTS, _TINT_MOST = 5.0, 45.0  # a change of so many points gets the strongest tint, per cent


def write(report: Report) -> bytes:
    for package in ("jinja2", "matplotlib"):
        if not plugins.installed(package):
            raise MissingExtraError(f"{package}, which the page needs,", "bench")
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup, escape

    def breakable(name: str) -> Markup:
        """A name that a narrow column may break behind a hyphen or a plus."""
        return Markup(str(escape(name)).replace("-", "-<wbr>").replace("+", "+<wbr>"))

    def of(subject: Measured) -> str:
        return f": {subject.model}" if len(report.measured) > 1 else ""

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        **{f.__name__: f for f in (breakable, png, unbroken, wording.change, wording.change_interval)},
        **{f.__name__: f for f in (wording.differing, wording.ms_interval, wording.named)},
        **{f.__name__: f for f in (wording.does, wording.judged_on, wording.speed_note)},
        "ms": lambda value: unbroken(advice.milliseconds(value)),
        "percent": lambda share: unbroken(judged.percent(share)),
        "tenths": lambda points: wording.points(points, 1),
        "share": lambda share: ">99\xa0%" if share > 0.995 else f"{100 * float(share):.0f}\xa0%",
        "size": lambda count: unbroken(advice.size(count)),
        "tint": lambda points: round(min(1.0, abs(points) / _TINT_POINTS) * _TINT_MOST),
    }
    script = _source("page.js")
    page = environment.from_string(_source("page.html")).render(
        report=report,
        title=wording.title(report),
        columns=wording.columns,
        limits=wording.limits,
        file_columns=wording.file_columns([file.row for file in report.files]),
        unproven=wording.UNPROVEN,
        recommended=[row for task in report.tasks for row in (task.advice.best, *task.advice.others)],
        pictures=[_pictures(task, Markup) for task in report.tasks],
        explained=[
            {
                "subject": s,
                "picture": Markup(explained.picture(s.explained, f"explained-{place}")),
                "legend": explained.legend(s.explained),
                "rows": explained.rows(s.explained),
            }
            for place, s in enumerate(report.subjects)
            if s.explained
        ],
        warned=sum(len(subject.warnings) for subject in report.measured),
        places=wording.places,
        circumstances=wording.circumstances,
        glossary=glossary(report),
        of=of,
        style=Markup(_source("page.css")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return page.encode("utf-8", "replace")


WRITER = write


def png(image: NDArray[np.uint8]) -> str:
    """An image uint8 `(height, width, channels)` as a data URI."""
    out = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(out, "png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


def unbroken(text: str) -> str:
    """`text` whose units stay on the line of their number."""
    return re.sub(r"(\d) (%|ms|kB|MB|B)(?!\w)", "\\1\xa0\\2", text)


def _pictures(task: Task, markup: Any) -> dict[str, Any]:
    rows, best, words = task.rows, task.advice.best, task.words
    return {
        "size": markup(pareto.by_size(rows, best, words)),
        "latency": markup(pareto.by_latency(rows, best, words)),
        "legend": [{"mark": markup(mark), "text": text} for mark, text in pareto.legend(rows)],
    }


def _source(name: str) -> str:
    return resources.files("edgewright.benchmarks.report").joinpath(name).read_text(encoding="utf-8")
