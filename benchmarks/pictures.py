"""The pictures of docs/images, of runs as a gate left them: `python benchmarks/pictures.py RUNS`.

RUNS holds a run of `tfidf-3level`, one of `tfidf-3level-own` and their comparison, all of it from
`COLUMNS=80 pytest suites/ --model tfidf-3level --model tfidf-3level-own --runs RUNS`; `gate.txt`
beside them is what `pytest suites/ --model tfidf-3level` said at 80 columns.
"""

from __future__ import annotations

import html
import io
import sys
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import sync_playwright

OUT = Path(__file__).parents[1] / "docs" / "images"
SHOWN: dict[str, tuple[str, int, int, Literal["dark", "light"]]] = {
    "report": ("*-tfidf-3level/report.html", 1280, 860, "light"),
    "report-dark": ("*-tfidf-3level/report.html", 1280, 860, "dark"),
    "report-phone": ("*-tfidf-3level/report.html", 390, 844, "light"),
    "comparison": ("comparison-*.html", 1200, 1000, "light"),
    "index": ("index.html", 1200, 1000, "light"),
    "terminal": ("gate.html", 660, 660, "dark"),
}
"""Picture -> page, width and height in pixels, colours."""
TERMINAL = """<style>body {{ margin: 14px; background: #16181d; color: #dde }}
pre {{ font: 13px monospace; width: 80ch; white-space: pre-wrap }}</style><pre>{}</pre>"""


def main(runs: Path) -> None:
    """Write every picture, with as many colours as a palette holds."""
    said = html.escape((runs / "gate.txt").read_text(encoding="utf-8"))
    (runs / "gate.html").write_text(TERMINAL.format(said), encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium")
        for name, (page, width, height, colours) in SHOWN.items():
            shot = browser.new_page(
                viewport={"width": width, "height": height}, color_scheme=colours
            )
            shot.goto(max(runs.glob(page)).resolve().as_uri())
            picture = Image.open(io.BytesIO(shot.screenshot())).convert("RGB")
            picture.quantize(128).save(OUT / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
