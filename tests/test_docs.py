"""What the documentation says is held against the program.

Commands in README.md and docs/ are run, page by page and in the page's order, in a copy of the
checkout with two recorded runs in it. A comment above a block says why it is not run:
`<!-- not run: it trains for an hour -->`; then its commands, options, systems and files are
checked all the same. A TOML or Python block whose first line names a file (`# suites/test_x.py`)
is written to that file; criteria are added to the gates.toml that is there. In a `console` block
the lines below a command have to be in its output, `[...]` aside. Python that begins with its
imports is run.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from typer.main import get_command

import gate_imports  # noqa: F401
from doc_pages import LEFT_OUT, SHELL, Block, Command, anchors, blocks, inline_code, links, prose
from evalkit.cli import app, main
from evalkit.engines.places import Cluster, Endpoint, LlamaCpp
from evalkit.formats import FORMATS
from evalkit.gates import Policy, load_policies
from evalkit.records import Missing, OutOfEnum, ParseFailure
from evalkit.systems import SystemConfig
from evalkit.tasks import Task, load_task
from evalkit.tasks.task import Field, FieldValue, Input
from evalkit.training.recipe import (
    BASELINES,
    LoraRecipe,
    Recipe,
    TfidfRecipe,
    read_baseline_recipe,
    read_recipe,
)
from evalkit.training.topics import read_topics

ROOT = Path(__file__).parents[1]
SKELETON = ROOT / "evalkit" / "skeleton"
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "README.zh.md", *sorted(DOCS.glob("*.md"))]
LINKED = [
    *PAGES,
    *(p for f in ("adapters", "data", "data/*", "fixtures/*") for p in ROOT.glob(f"{f}/README.md")),
]
PLACEHOLDERS = {
    "NAME": "keyword-intents",
    "TASK": "notifications-3level",
    "FILE": "rows.jsonl",
    "TRAIN": "rows.jsonl",
    "TEST": "more.jsonl",
}
"""What a reader puts something of their own in the place of -> what the test puts there."""
RUNS = {"RUN": "keyword-intents", "RUN_A": "keyword-intents", "RUN_B": "tfidf-intents"}
"""Placeholders for runs -> the system that the run is of."""
JUDGED = {"keyword-intents": ["suites/"], "tfidf-intents": ["suites/test_accuracy.py"]}
"""System -> the suites that its run has been through."""
OWN_WORDS = {*PLACEHOLDERS, *RUNS, "FOLDER", "PATH", "ROWS", "DIR"}
VARYING = re.compile(r"\d+(\.\d+)? ?s\b|\d{8}T\d{6}Z|[\d,.]+ rows/s|\d+ ms|\d+\.\d GB")
READ = re.compile(r"\| `(?P<text>[^|]*)` \| (?P<strict>[^|]*) \| (?P<lenient>[^|]*) \|")


def by_name(pages: list[Path]) -> Any:
    return pytest.mark.parametrize(
        "page", [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in pages]
    )


# --- blocks, commands and files --------------------------------------------------------------


@by_name(PAGES)
def test_every_block_is_of_a_known_kind(page: Path) -> None:
    known = {*SHELL, "toml", "python", "json", "yaml", "markdown", "text", "ini"}
    for block in blocks(page):
        assert block.language in known, f"{block.where}: ```{block.language}"
        if block.language == "json":
            json.loads(block.text)
        elif block.language == "yaml":
            yaml.safe_load(block.text)
        elif block.language == "python":
            compile(block.text, block.where, "exec")
        elif block.language == "toml":
            check_toml(block)


def check_toml(block: Block) -> None:
    """Is it what a system.toml, a task or a gates.toml may hold?"""
    found = tomllib.loads(block.text)
    if not found.keys().isdisjoint(("task", "format", "endpoint", "ray", "thoughts")):
        base = {} if "engine" in found else {"base": "hf:OWNER/NAME"}
        config = SystemConfig.model_validate({"task": "t", "format": "json", **base, **found})
        if config.engine in BASELINES:
            read_baseline_recipe(config.engine, config.recipe, block.where)  # type: ignore[arg-type]
        elif config.recipe:
            read_recipe(config.recipe, block.where)
    elif "recipe" in found:
        read_recipe({"data": "train.jsonl", **found["recipe"]}, block.where)
    elif block.text.startswith("# pyproject.toml"):
        assert set(found) == {"project"}  # tests/test_extending.py installs it
    elif block.text.startswith("# topics.toml"):
        read_topics(found, block.where)
    elif "fields" in found:
        Task.model_validate({"name": "t", **found})
    else:
        for name, criterion in found.items():
            assert isinstance(criterion, dict), f"{block.where}: what is this a part of?"
            Policy.model_validate(criterion)
            assert re.fullmatch(r"\w+", name), block.where


@by_name(PAGES)
def test_commands_have_the_options_that_the_page_gives_them(
    page: Path, pytestconfig: pytest.Config
) -> None:
    known = systems_of(page)
    for block in shell_blocks(page):
        for command in block.commands:
            for step in command.steps:
                try:
                    check_step(step, known, pytestconfig, may_be_foreign=bool(block.not_run))
                except Exception as error:
                    pytest.fail(f"{page}:{command.line}: {command.text}\n{error}", pytrace=False)


def check_step(
    words: list[str], systems: set[str], config: pytest.Config, *, may_be_foreign: bool
) -> None:
    tool, *arguments = words
    if tool == "evalkit":
        check_evalkit(arguments, systems)
    elif tool == "pytest":
        given = config._parser.parse(arguments)
        for name in given.model or []:
            check_system(name, systems)
        for place in given.file_or_dir:
            check_file(place.partition("::")[0])
    elif tool == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        for target in arguments:
            known = re.search(rf"^{target}:", makefile, re.MULTILINE)
            assert "=" in target or known, f"make has no target {target}"
    elif tool in ("python", "python3") and arguments[:1] != ["-m"] and arguments[:1] != ["-c"]:
        check_file(arguments[0])
        script = (ROOT / arguments[0]).read_text(encoding="utf-8")
        for flag in (word for word in arguments if word.startswith("--")):
            assert f'"{flag}"' in script, f"{arguments[0]} has no {flag}"
    elif tool != "cd":
        assert may_be_foreign, f"the test cannot run '{tool}': say why not above the block"
    for extra in re.findall(r"(?:evalkit|\.)\[(\w+)\]", " ".join(arguments)):
        assert extra in extras(), f"there is no extra '{extra}'"


def check_evalkit(arguments: list[str], systems: set[str]) -> None:
    command: Any = get_command(app)
    path = ["evalkit"]
    while hasattr(command, "commands"):
        if not arguments or arguments[0].startswith("-"):
            break
        name, *arguments = arguments
        assert name in command.commands, f"{' '.join(path)} has no command '{name}'"
        command = command.commands[name]
        path.append(name)
    if "--help" in arguments or (not arguments and hasattr(command, "commands")):
        return
    context = command.make_context(path[-1], list(arguments))
    for parameter in command.params:
        given = context.params.get(parameter.name)
        if parameter.name == "name" and path[1] in ("fetch", "train", "export"):
            check_system(given, systems)


def check_system(name: str, systems: set[str]) -> None:
    if name not in OWN_WORDS and "/" not in name:
        assert name in systems, f"there is no system '{name}'"


def check_file(name: str) -> None:
    if name not in OWN_WORDS:
        places = (ROOT / name, SKELETON / name)
        assert any(place.exists() for place in places), f"there is no {name}"


@by_name(PAGES)
def test_options_and_files_named_in_the_text_are_there(
    page: Path, pytestconfig: pytest.Config
) -> None:
    known = {*options_of(get_command(app)), *pytest_options(pytestconfig), "--help"}
    text = "\n".join(block.text for block in blocks(page) if block.not_run)
    for code in inline_code(page):
        words = code.split()
        if words[0] == "evalkit" and len(words) > 1:
            check_mentioned(words[1:])
        elif words[0] == "pytest":
            for flag in flags(words):
                assert flag in pytest_options(pytestconfig), f"pytest has no {flag}"
        elif words[0].startswith("--") and re.fullmatch(r"--[a-z-]+", words[0]):
            assert words[0] in known or words[0] in text, f"{page}: who has {words[0]}?"
        elif re.fullmatch(r"[\w-]+/[\w./-]+\.(py|toml|md|jsonl)", code):
            first = code.partition("/")[0]
            places = [p for p in (ROOT, ROOT / "evalkit", SKELETON) if (p / first).is_dir()]
            assert not places or any((place / code).exists() for place in places), code


def check_mentioned(words: list[str]) -> None:
    """`evalkit data stats | clean`: every command there, and every option known to it."""
    command: Any = get_command(app)
    for word in words:
        if word in ("|", "..."):
            continue
        if not hasattr(command, "commands") or not re.fullmatch(r"[a-z]+", word):
            break
        assert word in command.commands, f"evalkit has no command '{word}'"
        if "|" not in words:
            command = command.commands[word]
        elif hasattr(command.commands[word], "commands") and words[0] == word != words[-1]:
            command = command.commands[word] if words[1] != "|" else command
    for flag in flags(words):
        assert flag in (*options_of(command), "--help"), f"{' '.join(words)}: no {flag}"


def flags(words: list[str]) -> list[str]:
    return [word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)]


def options_of(command: Any) -> set[str]:
    inner = getattr(command, "commands", {}).values()
    own = {name for parameter in command.params for name in parameter.opts}
    own |= {name for parameter in command.params for name in parameter.secondary_opts}
    return own.union(*(options_of(each) for each in inner))


def pytest_options(config: pytest.Config) -> set[str]:
    groups = [config._parser._anonymous, *config._parser._groups]
    return {name for group in groups for option in group.options for name in option.names()}


def systems_of(page: Path) -> set[str]:
    """Systems on the shelf, of `evalkit init`, and those that the page writes."""
    shelves = (ROOT / "adapters", SKELETON / "adapters")
    names = {path.parent.name for shelf in shelves for path in shelf.glob("*/system.toml")}
    return names | {Path(block.file).parent.name for block in blocks(page) if block.file}


def shell_blocks(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.language in SHELL]


@cache
def extras() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return set(project["optional-dependencies"])


# --- links -------------------------------------------------------------------------------------


@by_name(LINKED)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page}: {link}"


def test_every_page_is_in_the_sites_navigation() -> None:
    # Not safe_load: mkdocs' own tags would be unknown to it.
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    named = re.findall(r": ([\w/.-]+\.md)$", nav, re.MULTILINE)
    assert {page.name for page in DOCS.glob("*.md")} <= set(named)
    for name in named:
        assert (DOCS / name).is_file() or (ROOT / name).is_file(), name


def test_the_site_builds_and_loads_nothing_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    pytest.importorskip("material", reason="the site is built with the extra `docs`")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path), strict=True))
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > len(list(DOCS.glob("*.md")))
    loads = re.compile(r"<(?:script|img|iframe)[^>]* src=.https?:|<link[^>]* href=.https?:|@import")
    assert not [page for page in pages if loads.search(page.read_text(encoding="utf-8"))]


# --- what a gate says --------------------------------------------------------------------------


def test_the_readmes_capture_is_what_the_gate_says(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Line by line, at 80 columns, on a screen of 40 lines."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "80")
    blocks_of = "\n".join(block.text for block in blocks(ROOT / "README.md"))
    capture = blocks_of.partition("$ pytest suites/ --model tfidf-3level\n[...]\n")[2]
    given = (f"--rootdir={ROOT}", "-c", "pyproject.toml", "-p", "no:cacheprovider")
    done = pytester.runpytest_inprocess(
        "suites/", "--model", "tfidf-3level", "--runs", str(tmp_path), *given
    )
    assert done.ret == 1
    assert len(done.outlines) <= 40
    started = re.compile(r"\d{8}T\d{6}Z")
    said = [started.sub("T", line.replace(str(tmp_path), "runs")) for line in done.outlines]
    shown = [started.sub("T", line) for line in capture.splitlines()]
    head = next(at for at, line in enumerate(said) if "release gate" in line)
    assert shown[: len(said) - head] == said[head:]


# --- running what is typed ---------------------------------------------------------------------


class Reader:
    """Somebody who types what a page says, in one folder."""

    def __init__(
        self, folder: Path, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch
    ) -> None:
        self.root = folder
        self.capsys = capsys
        self.patch = patch
        self.words = dict(PLACEHOLDERS)
        for path in sorted((folder / "runs").glob("[!.]*/record.json")):
            system = json.loads(path.read_text(encoding="utf-8"))["system"]
            self.words |= {word: path.parent.name for word, of in RUNS.items() if of == system}
        patch.chdir(folder)
        patch.setenv("COLUMNS", "80")
        patch.delenv("EVALKIT_SHELF", raising=False)

    def write(self, block: Block) -> None:
        """Put a file of the page where it says."""
        path = Path.cwd() / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name == "gates.toml" and path.exists():
            path.write_text(f"{path.read_text(encoding='utf-8')}\n{block.text}", encoding="utf-8")
            load_policies(path)
        else:
            path.write_text(block.text, encoding="utf-8")

    def type(self, command: Command, where: str) -> None:
        """Run a line; its exit code has to be a good one, and its output as shown."""
        self.capsys.readouterr()
        for tool, *arguments in command.steps:
            arguments = [self.words.get(word, word) for word in arguments]
            if tool == "cd":
                self.patch.chdir(arguments[0])
                continue
            judges = tool == "pytest" or arguments[:1] == ["gate"]
            code = self.run(tool, arguments)
            said = self.capsys.readouterr()
            told = f"{where}: {command.text}\n{said.out[-3000:]}{said.err[-3000:]}"
            assert code in ((0, 1) if judges else (0,)), f"exit code {code}: {told}"
            missing = first_missing(command.shown, f"{said.out}\n{said.err}")
            assert missing is None, f"not in the output: {missing}\n{told}"

    def run(self, tool: str, arguments: list[str]) -> int:
        """Run evalkit or pytest within this process, which has loaded all they need."""
        before, places = set(sys.modules), list(sys.path)
        try:
            if tool == "pytest":
                return int(pytest.main([*arguments, "-p", "no:cacheprovider"]))
            assert tool == "evalkit", f"the test cannot run '{tool}'"
            self.patch.setattr(sys, "argv", ["evalkit", *arguments])
            with pytest.raises(SystemExit) as stop:
                main()
            return int(stop.value.code or 0)
        finally:
            sys.path[:] = places
            for name in set(sys.modules) - before:
                file = getattr(sys.modules[name], "__file__", None)
                if file and Path(file).is_relative_to(self.root):
                    del sys.modules[name]


def first_missing(shown: tuple[str, ...], said: str) -> str | None:
    """The first line shown that is not in the output behind the one before."""
    lines = iter([plain(line) for line in said.splitlines()])
    for line in shown:
        wanted = re.escape(plain(line)).replace(re.escape(LEFT_OUT), ".*")
        if wanted != ".*" and not any(re.fullmatch(wanted, one) for one in lines):
            return line
    return None


def plain(line: str) -> str:
    """A line without what differs from one time to the next."""
    return " ".join(VARYING.sub("_", line.rstrip()).split())


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the commands read, and runs of two systems."""
    folder = tmp_path_factory.mktemp("docs") / "checkout"
    for name in ("suites", "fixtures", "adapters"):
        shutil.copytree(
            ROOT / name,
            folder / name,
            ignore=shutil.ignore_patterns("__pycache__", "checkpoints", "adapter_model.*"),
        )
    rows = (folder / "fixtures/notifications/test.jsonl").read_text(encoding="utf-8").splitlines()
    (folder / "rows.jsonl").write_text("\n".join(rows[:80]) + "\n", encoding="utf-8")
    (folder / "more.jsonl").write_text("\n".join(rows[70:120]) + "\n", encoding="utf-8")
    intents = (folder / "fixtures/intents/test.jsonl").read_text(encoding="utf-8").splitlines()
    single = [line for line in intents if len(json.loads(line)["output"]) == 1]
    (folder / "intents.jsonl").write_text("\n".join(single) + "\n", encoding="utf-8")
    shutil.copyfile(folder / "fixtures/notifications/dev.jsonl", folder / "train.jsonl")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()):
        patch.chdir(folder)
        before = set(sys.modules)
        for name, suites in JUDGED.items():
            pytest.main([*suites, "--model", name, "-q", "-p", "no:cacheprovider"])
        for name in set(sys.modules) - before:
            if name.startswith("test_"):
                del sys.modules[name]
    return folder


@by_name([page for page in PAGES if any(not b.not_run for b in shell_blocks(page))])
def test_what_a_page_says_to_type_works(
    page: Path,
    checkout: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "checkout"
    shutil.copytree(checkout, folder)
    reader = Reader(folder, capsys, monkeypatch)
    for block in blocks(page):
        if block.not_run:
            continue
        if block.file:
            reader.write(block)
        elif block.language == "python" and block.text.startswith(("from ", "import ")):
            exec(compile(block.text, block.where, "exec"), {})
        elif block.language in SHELL:
            for command in block.commands:
                reader.type(command, f"{page.name}:{command.line}")


# --- keys, commands and formats ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "model"),
    [
        ("your-own-model.md", SystemConfig),
        ("your-own-task.md", Policy),
        ("your-own-task.md", Task),
        ("your-own-task.md", Field),
        ("your-own-task.md", FieldValue),
        ("your-own-task.md", Input),
        ("training.md", Recipe),
        ("training.md", LoraRecipe),
        ("training.md", TfidfRecipe),
        ("where-models-run.md", Endpoint),
        ("where-models-run.md", Cluster),
        ("export.md", LlamaCpp),
    ],
)
def test_a_page_names_every_key_of_a_file(page: str, model: type[BaseModel]) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    unnamed = [
        key
        for key in model.model_fields
        if not re.search(rf"`\[?(recipe\.)?{key}\]?`|^{key} = |`{key} = ", text, re.MULTILINE)
    ]
    assert not unnamed


def test_the_page_on_verdicts_names_every_option(pytestconfig: pytest.Config) -> None:
    text = (DOCS / "reading-a-verdict.md").read_text(encoding="utf-8")
    (group,) = [group for group in pytestconfig._parser._groups if group.name == "evalkit"]
    names = [name for option in group.options for name in option.names()]
    assert names
    assert [name for name in names if not re.search(rf"`{name}[` ]", text)] == []


def test_the_floor_plan_names_every_command() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    listed = " ".join(re.findall(r"`evalkit (init \|[^`]+)`", text)).replace("|", " ").split()
    assert set(listed) == set(get_command(app).commands)  # type: ignore[attr-defined]


def test_the_page_on_the_command_line_has_every_option_of_every_command() -> None:
    text = (DOCS / "command-line.md").read_text(encoding="utf-8")
    shared, _, own = text.partition("| command |")
    listed = {
        row["command"]: set(re.findall(r"`(--[a-z-]+)`", row["options"]))
        for row in re.finditer(r"^\| `evalkit (?P<command>[^`]+)` \|(?P<options>.*)\|", own, re.M)
    }
    there = dict(commands_of(get_command(app)))
    assert listed == there
    unused = set(re.findall(r"`(--[a-z-]+)`", shared)) - set().union(*there.values())
    assert not unused


def commands_of(command: Any, *path: str) -> Iterator[tuple[str, set[str]]]:
    """Each command by its words, and its options as they are written out."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands_of(inner, *path, name)
    if not hasattr(command, "commands"):
        options = [p for p in command.params if p.param_type_name == "option"]
        yield " ".join(path), {p.opts[0] for p in options}


def test_texts_are_read_as_the_page_on_formats_says() -> None:
    page = (DOCS / "formats.md").read_text(encoding="utf-8")
    checked = dict.fromkeys(FORMATS, 0)
    name = ""
    for line in page.splitlines():
        if found := re.fullmatch(r"#+ `(\w+)`.*", line):
            name = found[1]
        elif name and (row := READ.fullmatch(line)):
            task = load_task("notifications-3level" if name == "json" else "intents")
            text = row["text"].replace("⏎", "\n")
            reading = FORMATS[name].parse(task, text)
            said = tuple(show_reading(one) for one in (reading.strict, reading.lenient))
            assert said == (row["strict"].strip(), row["lenient"].strip()), line
            checked[name] += 1
    assert min(checked.values()) >= 3, checked


def show_reading(one: Any) -> str:
    """As the page's tables have it."""
    if isinstance(one, ParseFailure):
        return f"`{one.reason}`"
    shown: Callable[[Any], str] = lambda value: (  # noqa: E731
        "left out"
        if isinstance(value, Missing)
        else f"({value.text})"
        if isinstance(value, OutOfEnum)
        else " + ".join(value)
        if isinstance(value, tuple)
        else str(value)
    )
    return ", ".join(map(shown, one.fields.values()))


def test_the_checks_see_what_is_wrong(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    def check(*words: str) -> None:
        check_step(list(words), {"mine"}, pytestconfig, may_be_foreign=False)

    check("evalkit", "fetch", "mine")
    for words in (
        ("evalkit", "fetsh", "mine"),
        ("evalkit", "fetch", "yours"),
        ("evalkit", "compare", "A", "B", "--shw", "3"),
        ("pytest", "suites/", "--model", "yours"),
        ("pytest", "suits/"),
        ("make", "coffee"),
        ("curl", "example.org"),
    ):
        with pytest.raises((Exception, SystemExit)):
            check(*words)
    assert first_missing(("a 1 s", "[...]", "c"), "a 2 s\nb\nc") is None
    assert first_missing(("c", "a 1 s"), "a 2 s\nb\nc") == "a 1 s"
    assert first_missing(("a [...] c",), "a b\na b d") == "a [...] c"
    assert first_missing(("a [...] c",), "a b\na b c") is None
    page = tmp_path / "page.md"
    page.write_text("# A `B` c\n<!-- not run: slow -->\n```sh\nmake x  # y\n```\n[l](#a)\n")
    (block,) = blocks(page)
    assert (block.not_run, block.commands[0].steps) == ("slow", [["make", "x"]])
    assert anchors(page) == {"a-b-c"}
    assert links(page) == ["#a"]
    assert "make" not in prose(page)
