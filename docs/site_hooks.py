"""Pages of the site that do not stand in docs/: README files of the shelf, of rows and fixtures.

They stand beside what they are about. mkdocs takes pages from docs/ alone, so they are added to
its files, and links that lead from the one to the other are turned into links within the site.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
ELSEWHERE = ("adapters/README.md", "data/README.md", "data/*/README.md", "fixtures/*/README.md")


def on_files(files: Files, config: Any) -> Files:
    """Add the README files under the paths that they have in the repository."""
    for pattern in ELSEWHERE:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links between docs/ and the added pages into links between neighbours."""
    up = "../" * page.file.src_uri.count("/")
    if up:
        return markdown.replace(f"]({up}docs/", f"]({up}")
    return re.sub(r"\]\(\.\./(?=adapters/|data/|fixtures/)", "](", markdown)
