"""What reports are called: a run's lie in its folder, the others in the folder of all runs."""

from evalkit.locale import Lang

REPORT = "report.html"
INDEXES: dict[Lang, str] = {"en": "index.html", "zh": "index.zh.html"}
PAGES: dict[Lang, str] = {"en": REPORT, "zh": "report.zh.html"}
COMPARISON_PREFIX = "comparison-"
MARKDOWN = {"en": "report.md", "zh": "report.zh.md"}
MARKDOWN_COMPARISON = {"en": "MODEL_COMPARISON.md", "zh": "MODEL_COMPARISON.zh.md"}
