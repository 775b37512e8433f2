"""How large the page of the evidence is and how long Chromium takes to open it.

`.cache/browser/venv/bin/python -m benchmarks.page`, with playwright as `make test-browser` sets it
up. Times are the browser's own: until the document is there, and until it is laid out whole; from a
file, nothing cached.
"""

import shutil
import statistics
import tempfile
from pathlib import Path

from repro import paths
from repro.cli.main import main as repro
from repro.errors import CannotRunError
from tools import command

WIDTHS = (1440, 390)
REPEATS = 7
_TIMES = """() => {
  const [seen] = performance.getEntriesByType("navigation");
  return [seen.domContentLoadedEventEnd, seen.loadEventEnd,
          document.documentElement.scrollHeight, document.querySelectorAll(".card").length];
}"""


def main() -> None:
    """Print a line a width."""
    command.parser(__doc__).parse_args()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise CannotRunError(f"{error}; `make test-browser` sets one up") from error
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        repro(["report", str(paths.ROOT / "evidence"), "--out", folder])
        page = Path(folder) / "report.html"
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for width in WIDTHS:
            seen = []
            for _ in range(REPEATS):
                opened = browser.new_page(viewport={"width": width, "height": 900})
                opened.goto(page.as_uri(), wait_until="load")
                seen.append(opened.evaluate(_TIMES))
                opened.close()
            there, whole, height, cards = (
                statistics.median(each) for each in zip(*seen, strict=True)
            )
            print(
                f"{width} px: {page.stat().st_size:,} bytes, {cards:.0f} claims, {height:,.0f} px "
                f"high; document after {there:.0f} ms, whole after {whole:.0f} ms"
            )


if __name__ == "__main__":
    command.run(main)
