"""The folder of runs as pages that follow it: those that are files too, made when asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from evalkit.errors import UserError
from evalkit.gates import criteria_in_force
from evalkit.locale import LANGUAGES, Lang
from evalkit.reports.files import COMPARISON_PREFIX, INDEXES, PAGES
from evalkit.reports.html.comparison_page import comparison_page
from evalkit.reports.html.index_page import index_page
from evalkit.reports.html.run_page import run_page
from evalkit.reports.judged import read_judged
from evalkit.reports.related import find_related
from evalkit.reports.render.terminal import line_of
from evalkit.reports.view import Plain, phrase
from evalkit.runs import RECORD, VERDICTS, baseline_folders, read_under_way, run_folders

HOSTS = ("127.0.0.1", "localhost")
"""Names the browser may ask for: under another, a page from elsewhere would be asking."""
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def view_app(runs: Path, lang: Lang = "en") -> Starlette:
    """Make the ASGI application that shows a folder of runs. It only reads.

    A run is looked up among those that are there, by its place under the folder, so that no address
    leads anywhere else.

    The page at `/` is in `lang`; the others have the language in their names, as the files do.
    """

    def indexed(asked: Lang) -> Callable[[Request], Response]:
        return lambda _: _html(
            index_page(runs, asked, live=True, criteria_sha256=criteria_in_force())
        )

    def run_in(asked: Lang) -> Callable[[Request], Response]:
        def run(request: Request) -> Response:
            folder = _find(runs, request.path_params["run"])
            return _html(_run_page(folder, asked, _stamp([folder]), criteria_in_force()))

        return run

    def compared(request: Request) -> Response:
        names = request.query_params.getlist("run")
        if len(names) < 2:
            raise UserError("A comparison is of two runs: /compare?run=A&run=B.")
        criteria = criteria_in_force()
        found = [read_judged(_find(runs, name), criteria) for name in names]
        asked = _asked(request, lang)
        return _html(comparison_page(found, asked, place=runs, live=True))

    def written(request: Request) -> Response:
        name = request.path_params["page"]
        if name not in {path.name for path in runs.glob(f"{COMPARISON_PREFIX}*.html")}:
            raise UserError("There is no such page.")
        return FileResponse(runs / name, headers=_HEADERS)

    def now(request: Request) -> Response:
        of = request.query_params.get("of", "")
        asked = _asked(request, lang)
        folders = [_find(runs, of)] if of else [*run_folders(runs), *baseline_folders(runs)]
        lines = [
            line_of(
                phrase(
                    "live.line",
                    system=found.system,
                    part=found.part or phrase("live.test_rows"),
                    done=found.done,
                    total=found.total,
                    rate=Plain(found.done / max(found.seconds, 1e-6)),
                ),
                asked,
            )
            for found in read_under_way(runs)
        ]
        return JSONResponse({"lines": lines, "stamp": _stamp(folders)}, headers=_HEADERS)

    async def refuse(_: Request, error: Exception) -> Response:
        return PlainTextResponse(str(error), status_code=404, headers=_HEADERS)

    return Starlette(
        routes=[
            Route("/", indexed(lang)),
            *(Route(f"/{page}", indexed(known)) for known, page in INDEXES.items()),
            Route("/now", now),
            Route("/compare", compared),
            *(Route(f"/{{run:path}}/{page}", run_in(known)) for known, page in PAGES.items()),
            Route("/{page}", written),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=list(HOSTS), www_redirect=False)
        ],
        exception_handlers={UserError: refuse},
    )


def _asked(request: Request, lang: Lang) -> Lang:
    """The language a request names, or the one of `/`."""
    named = request.query_params.get("lang")
    return next((known for known in LANGUAGES if known == named), lang)


def _find(runs: Path, name: str) -> Path:
    known = (*run_folders(runs), *baseline_folders(runs))
    folder = next((f for f in known if f.relative_to(runs).as_posix() == name), None)
    if folder is None:
        raise UserError("There is no such run.")
    return folder


@lru_cache(32)
def _run_page(folder: Path, lang: Lang, stamp: str, criteria_sha256: str | None) -> str:
    """The page of a run, as long as neither its folder nor the criteria change."""
    run = read_judged(folder, criteria_sha256, keep=True)
    return run_page(run, lang, others=find_related(run, folder.parent), live=True)


def _stamp(folders: Iterable[Path]) -> str:
    """What is another as soon as a run comes, goes, or is judged."""
    times = [
        (str(path), path.stat().st_mtime_ns)
        for folder in folders
        for path in (folder / RECORD, folder / VERDICTS)
        if path.is_file()
    ]
    return hashlib.sha256(repr(times).encode()).hexdigest()[:16]


def _html(page: str) -> Response:
    # A lone surrogate in a model's answer is no text, as in the files.
    content = page.encode("utf-8", "replace")
    return Response(content, media_type="text/html", headers=_HEADERS)
