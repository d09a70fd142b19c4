"""The answer as one page: `write_report` turns a RUN folder into a self-contained RUN/report.html."""

from dse.report.page import write_report

__all__ = ["write_report"]
