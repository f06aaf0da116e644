"""`evalkit view`: the pages of the files, asked in this process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from evalkit.reports.judged import read_judged
from evalkit.reports.writing import write_comparison, write_index, write_report
from evalkit.runs import copy_run, noting, read_under_way, write_verdicts
from judged_runs import write_judged_run

testclient = pytest.importorskip("starlette.testclient", reason="the extra serve is not installed")
BASE = "http://127.0.0.1"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)  # where no criteria are in force
    runs = tmp_path / "runs"
    first = write_judged_run(runs, right=16, name="one")
    write_judged_run(runs, right=12, name="two")
    copy_run(first, runs / "baselines" / "v1")
    return runs


def client(runs: Path, **options: Any) -> Any:
    from evalkit.reports.html.live import view_app

    return testclient.TestClient(view_app(runs), base_url=BASE, **options)


def names(runs: Path) -> list[str]:
    return sorted(path.parent.name for path in runs.glob("*/record.json"))


def inside(page: str) -> str:
    return page.partition("<main")[2].partition("</main>")[0]


def test_the_pages_are_those_of_the_files(runs: Path) -> None:
    asked, (one, two) = client(runs), names(runs)
    for lang, index, report in (
        ("en", "index.html", "report.html"),
        ("zh", "index.zh.html", "report.zh.html"),
    ):
        for name in (one, two):
            path = write_report(read_judged(runs / name), lang=lang)  # type: ignore[arg-type]
            got = asked.get(f"/{name}/{report}")
            assert inside(got.text) == inside(path.read_text(encoding="utf-8"))
            assert got.headers["x-content-type-options"] == "nosniff"
        write_index(runs, lang)  # type: ignore[arg-type]
        assert f'href="{two}/{report}"' in asked.get(f"/{index}").text
    both = [read_judged(runs / name) for name in (one, two)]
    path = write_comparison(both, runs)
    got = asked.get("/compare", params={"run": [one, two]})
    assert inside(got.text) == inside(path.read_text(encoding="utf-8"))
    assert asked.get(f"/{path.name}").status_code == 200
    assert "<h1" in asked.get("/baselines/v1/report.html").text
    assert asked.get("/").text == asked.get("/index.html").text


def test_runs_judged_by_other_criteria_than_those_in_force_say_so(runs: Path) -> None:
    asked, page = client(runs), f"/{names(runs)[0]}/report.html"
    before = [asked.get(address).text for address in ("/", page)]
    (runs.parent / "suites").mkdir()
    (runs.parent / "suites" / "gates.toml").write_text("[x]\nmin_value = 0.9\nwhy = 'x'\n")
    after = [asked.get(address).text for address in ("/", page)]
    assert ["by other criteria" in text for text in (*before, *after)] == [False, False, True, True]
    compared = asked.get("/compare", params={"run": names(runs)}).text
    assert compared.count("was judged under other criteria") >= 2, "as `evalkit compare` has it"


@pytest.mark.parametrize(
    "address",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e/elsewhere/report.html",
        "/..%2felsewhere/report.html",
        "//etc/report.html",
        "/comparison-x%2f..%2f..%2fsecret.html",
        "/record.json",
        "/compare?run=..%2felsewhere&run=one",
        "/now?of=..%2felsewhere",
    ],
)
def test_no_address_leads_out_of_the_folder(runs: Path, address: str) -> None:
    (runs.parent / "secret.txt").write_text("secret")
    write_judged_run(runs.parent / "place", name="elsewhere").rename(runs.parent / "elsewhere")
    got = client(runs).get(address)
    assert got.status_code == 404
    assert "secret" not in got.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "169.254.1.1", ""])
def test_another_name_is_refused(runs: Path, host: str) -> None:
    asked = client(runs)
    assert asked.get("/", headers={"host": host}).status_code == 400
    assert asked.get("/", headers={"host": "localhost:8081"}).status_code == 200


def test_nothing_is_written(runs: Path) -> None:
    def there() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in runs.rglob("*")}

    before, asked = there(), client(runs)
    for address in ("/", "/now", f"/{names(runs)[0]}/report.html"):
        assert asked.get(address).status_code == 200
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert asked.request(method, address).status_code == 405
    assert there() == before


def test_what_is_under_way_is_told_and_a_verdict_changes_the_stamp(runs: Path) -> None:
    asked, (one, two) = client(runs), names(runs)
    ticks = iter(range(100))
    with noting(runs, "mine", "", 40, lambda: float(next(ticks))) as advance:
        for _ in range(3):
            advance()
        (found,) = read_under_way(runs)
        assert (found.system, found.done, found.total) == ("mine", 3, 40)
        (line,) = asked.get("/now").json()["lines"]
        assert line.startswith("mine is answering the test rows: 3 of 40 rows, ")
        assert "正在回答" in asked.get("/now?lang=zh").json()["lines"][0]
    assert asked.get("/now").json()["lines"] == []
    (runs / ".under_way").mkdir()
    (runs / ".under_way" / "999999999.lock").touch()  # of a process that was killed
    (runs / ".under_way" / "999999999.json").write_text(
        json.dumps({"system": "dead", "part": "", "done": 1, "total": 2, "seconds": 1.0})
    )
    assert read_under_way(runs) == []

    stamps = [asked.get("/now", params={"of": of}).json()["stamp"] for of in ("", one, two)]
    content = json.loads((runs / two / "verdicts.json").read_text())
    write_verdicts(runs / two, content)
    os.utime(runs / two / "verdicts.json", ns=(1, 1))
    after = [asked.get("/now", params={"of": of}).json()["stamp"] for of in ("", one, two)]
    assert [a == b for a, b in zip(stamps, after, strict=True)] == [False, True, False]


def test_only_a_live_page_asks_its_server(runs: Path) -> None:
    live = client(runs).get("/").text
    file = write_index(runs).read_text(encoding="utf-8")
    assert "connect-src" in live
    assert live.count('type="checkbox" value=') == 2
    assert "connect-src" not in file
    assert "/now" not in file
