"""The package of docs/extending.md, installed: one of each kind, and a gate that uses them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import evalkit
import gate_imports  # noqa: F401
from doc_pages import blocks
from evalkit import registry
from evalkit.data.attacks import ATTACKS
from evalkit.data.perturbing import PERTURBATIONS
from evalkit.engines.building import ENGINES
from evalkit.errors import UserError
from evalkit.evaluation.metric import METRICS
from evalkit.formats import FORMATS
from evalkit.reports.sections.run import SECTIONS

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
CODE, PROJECT = (block.text for block in blocks(PAGE))
REGISTRIES = (METRICS, FORMATS, ENGINES, PERTURBATIONS, ATTACKS, SECTIONS)
SUITE = """
import evalkit

def test_within_one(evaluation, gate):
    gate("within_one", evaluation.measure("within_one", "priority"))

def test_flips(evaluation, ask, gate):
    rows = [row.example for row in evaluation.rows]
    changed = ask("changed", evalkit.perturb_some("without-vowels", rows, 10))
    gate("flip_rate", evalkit.flip_rate(evaluation, changed))

def test_attack(evaluation, ask, gate):
    rows = [row.example for row in evaluation.rows]
    attacked, targets = evalkit.attack_some(
        "politely", rows, evaluation.task, evaluation.format, 10
    )
    assert all("Kindly answer" in row.inputs["body"] for row in attacked)
    found = evalkit.attack_success_rate(evaluation, ask("attacked", attacked), targets)
    gate("attack_success_rate", found)
"""
GATES = """
within_one = { min_value = 0.5, min_cases = 1, why = "x" }
flip_rate = { max_value = 0.0, min_cases = 1, why = "x" }
attack_success_rate = { max_value = 0.0, min_cases = 1, why = "x" }
"""
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a package on the path: its name, its entry points by group, its modules."""

    def installed(name: str, points: dict[str, dict[str, str]], **modules: str) -> None:
        place = tmp_path / "site" / name
        info = place / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"[{g}]\n{n} = {v}\n" for g, p in points.items() for n, v in p.items()]
        (info / "entry_points.txt").write_text("".join(lines))
        for module, code in modules.items():
            (place / f"{module}.py").write_text(code)
        monkeypatch.syspath_prepend(place)
        registry._all_plugins.cache_clear()

    yield installed
    registry._all_plugins.cache_clear()


@pytest.fixture
def extras(install: Install) -> None:
    install(
        "evalkit-extras", tomllib.loads(PROJECT)["project"]["entry-points"], evalkit_extras=CODE
    )


def test_all_six_kinds_take_fewer_than_80_lines() -> None:
    groups = tomllib.loads(PROJECT)["project"]["entry-points"]
    assert set(groups) == {found.group for found in REGISTRIES}
    assert sum(bool(line.strip()) for line in CODE.splitlines()) < 80


@pytest.mark.usefixtures("extras")
def test_a_gate_uses_them(pytester: pytest.Pytester) -> None:
    folder = pytester.mkdir("adapters") / "first"
    folder.mkdir()
    (folder / "system.toml").write_text(
        'task = "notifications-3level"\nformat = "lines"\nengine = "first-value"\n'
    )
    pytester.mkdir("suites")
    (pytester.path / "suites" / "test_it.py").write_text(SUITE)
    (pytester.path / "suites" / "gates.toml").write_text(GATES)
    rows = [
        {
            "id": str(n),
            "notification": {"app": "Mail", "title": "Tomorrow", "body": "At nine " * (n + 2)},
            "classification": {"folder": "Work", "priority": 1 + n % 3},
        }
        for n in range(9)
    ]
    (pytester.path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    result = pytester.runpytest_inprocess(
        *("suites/", "--model", "first", "--data", "rows.jsonl", "-p", "no:cacheprovider")
    )
    result.stdout.fnmatch_lines(["*first may ship*", "*within_one*66.7%*"])
    assert result.ret == 0
    (run,) = pytester.path.glob("runs/2*")
    assert 'id="longest-inputs"' in (run / "report.html").read_text(encoding="utf-8")
    record = json.loads((run / "record.json").read_text())
    assert record["packages"]["evalkit-extras"] == "1.0"
    assert record["contamination"]["status"] == "unknown"
    assert json.loads((run / "verdicts.json").read_text())["gates"][0]["metric"] == {
        "key": "within_one",
        "field": "priority",
        "value": None,
        "name": "priority within one level",
        "unit": "%",
        "lower_is_better": False,
    }


@pytest.mark.parametrize("found", REGISTRIES, ids=lambda found: found.kind)
def test_no_name_is_replaced(found: registry.Registry[object], install: Install) -> None:
    name = next(iter(found))
    install("usurper", {found.group: {name: "evalkit.errors:UserError"}})
    with pytest.raises(UserError, match=f"package usurper 1.0 brings the .*'{name}', and evalkit"):
        list(found)
    with pytest.raises(UserError, match="Uninstall one of them"):
        found.find(name)


def test_two_packages_do_not_share_a_name(install: Install) -> None:
    for name in ("one", "two"):
        install(name, {"evalkit.formats": {"xml": f"{name}:Xml"}})
    with pytest.raises(UserError, match=r"two 1\.0 brings the format 'xml', and the package one"):
        FORMATS.find("xml")


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("nowhere:Xml", "cannot be loaded: ModuleNotFoundError"),
        ("broken:Xml", "cannot be loaded: ZeroDivisionError: division by zero. Mend or uninstall"),
        ("evalkit.errors:did_you_mean", "is a function and no format"),
        ("evalkit.formats.json_object:JsonObject", "its `name` is 'json'"),
    ],
)
def test_a_broken_one_is_named_with_its_package(value: str, fault: str, install: Install) -> None:
    install("mine", {"evalkit.formats": {"xml": value}}, broken="1 / 0")
    assert "xml" in FORMATS  # nothing is loaded before it is asked for
    with pytest.raises(UserError, match=f"The format 'xml' of the package mine 1.0 .*{fault}"):
        FORMATS.find("xml")


@pytest.mark.usefixtures("extras")
def test_the_format_reads_strictly_and_leniently() -> None:
    task = evalkit.Task.model_validate(
        {
            "name": "t", "family": "t", "summary": "s", "instruction": "i", "function": "f",
            "inputs": {"text": {"title": "Text", "paths": ["text"]}},
            "fields": {"queue": {"kind": "choice", "title": "Queue", "paths": ["queue"], "values": [
                {"value": "A", "description": "a"}, {"value": "B", "description": "b"}]}},
        }
    )  # fmt: skip
    fmt = FORMATS.find("lines")
    reading = fmt.parse(task, "Here it is:\nqueue: A")
    assert reading.lenient.fields == {"queue": "A"}
    assert reading.strict.reason == "not_canonical"
    with pytest.raises(UserError, match="has no grammar"):
        fmt.grammar(task)
