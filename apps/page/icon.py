"""The page's icon: three bars of different lengths, as its answers are shown."""

from __future__ import annotations

import io

SIZES = (192, 512)  # what browsers ask for before they install a page
_PAPER, _BARS = "#0b7a5e", ("#ffffff", "#a8dccb", "#5fb59b")
_LENGTHS = (0.56, 0.38, 0.22)  # of the width; all lie within the circle that masks leave


def png(side: int) -> bytes:
    """A PNG of so many pixels a side, drawn four times as large."""
    from PIL import Image, ImageDraw

    large = 4 * side
    picture = Image.new("RGB", (large, large), _PAPER)
    draw = ImageDraw.Draw(picture)
    for place, (length, colour) in enumerate(zip(_LENGTHS, _BARS, strict=True)):
        left, top = 0.22 * large, (0.29 + 0.16 * place) * large
        box = (left, top, left + length * large, top + 0.1 * large)
        draw.rounded_rectangle(box, 0.05 * large, fill=colour)
    out = io.BytesIO()
    picture.resize((side, side), Image.Resampling.BOX).save(out, "png", optimize=True)
    return out.getvalue()
