"""Runs as Markdown reports, in English and Chinese.

Every number comes from a run's record, its rows and its verdicts. Data text reads as itself: it
is escaped where it enters a report (`text.safe`), and a report holds no HTML, link or picture.
"""

from evalkit.locale import Lang
from evalkit.reports.markdown.comparison_report import comparison_markdown
from evalkit.reports.markdown.run_report import run_markdown

__all__ = ["Lang", "comparison_markdown", "run_markdown"]
