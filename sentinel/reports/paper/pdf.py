"""A report as PDF: WeasyPrint lays out the HTML in a process of its own, and the hand that holds it.

WeasyPrint is an extra: it takes seconds to load and a hundred megabytes to work. In a process of its
own neither is the daemon's, a page that takes too long is given up, and nothing is fetched.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

from sentinel.errors import SentinelError

DEADLINE = 120.0
"""Seconds for one document, on a busy machine."""
MAX_MEMORY = 2 * 1024**3
MISSING = 69
"""Exit code of a child without WeasyPrint."""
REMEDY = "install it with `pip install 'sentinel-sre[pdf]'`, and Pango with the system's packages"
_PACKAGE = Path(__file__).parents[3]
_PROGRAM = (sys.executable, "-B", "-m", __name__)


class PdfUnavailable(SentinelError):
    """No PDF can be made here, or not of this document; the other formats are as good."""

    exit_code = 69


def make_pdf(html: str, seconds: float = DEADLINE) -> bytes:
    """The pages of an HTML report. Raises PdfUnavailable: WeasyPrint is not there, or did not end."""
    try:
        done = subprocess.run(
            _PROGRAM,
            input=html.encode(),
            capture_output=True,
            timeout=max(seconds, 0.0),
            cwd="/",
            env={"PYTHONPATH": str(_PACKAGE), "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        message = f"WeasyPrint did not lay out the report within {seconds:g} s"
        raise PdfUnavailable(message, "take the HTML: any browser prints it") from error
    if done.returncode == MISSING:
        told = done.stderr.decode(errors="replace").strip()
        raise PdfUnavailable(f"PDF needs WeasyPrint, which can't be loaded: {told}", REMEDY)
    if done.returncode != 0 or not done.stdout.startswith(b"%PDF"):
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"code {done.returncode}"
        message = f"WeasyPrint ended with {how}"
        raise PdfUnavailable(message, "take the HTML: any browser prints it")
    return done.stdout


def _limit() -> None:
    """Memory, processor time, and no files to write."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    processor = int(DEADLINE) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (processor, processor))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> int:
    """Lay out the page on the input."""
    _limit()
    try:
        from weasyprint import HTML  # noqa: PLC0415 - it is an extra
        from weasyprint.urls import URLFetcher  # noqa: PLC0415
    except (ImportError, OSError) as error:  # the latter: Pango is not there
        os.write(2, " ".join(str(error).split())[:300].encode())
        return MISSING
    # Reports need nothing from anywhere; whatever asks for it is not ours.
    nobody = URLFetcher(allowed_protocols=())
    page = HTML(string=sys.stdin.buffer.read().decode(), url_fetcher=nobody)
    sys.stdout.buffer.write(page.write_pdf())
    return 0


if __name__ == "__main__":
    sys.exit(main())
