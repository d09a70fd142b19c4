"""The answer as one page: `write_report` turns a RUN folder into a self-contained RUN/report.html.

    read_run (rundata) -> run_details (detail) -> payload -> render (page) <- page.html, page.css, *.js, plotly.js
"""

from pathlib import Path

__all__ = ["write_report"]


def write_report(run_dir: Path) -> Path:
    """Write RUN/report.html and return its path; see `dse.report.page.publish`.

    Raises
    ------
    InputError : the folder is no finished run, or one of its files is corrupt.
    """
    from dse.report.page import publish  # `dse.advice` uses parts of this package, the page uses advice

    return publish(run_dir).path
