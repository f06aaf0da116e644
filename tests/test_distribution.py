"""What is published: sdist and wheel are whole, and the wheel works by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = (
    "pyproject.toml",
    "MANIFEST.in",
    "README.md",
    "LICENSE",
    "constraints.txt",
    "conftest.py",
)
FOLDERS = ("evalkit", "suites", "fixtures")
TYPED = """
import evalkit
print(evalkit.__file__)
from typer.testing import CliRunner
from evalkit.cli import app
for command in (
    "train tfidf-demo",
    "predict tfidf-demo lost",
    "data stats data/train.jsonl --task task.toml",
    "schema gates",
    "grammar tickets",
    "systems",
):
    done = CliRunner().invoke(app, command.split(), catch_exceptions=False)
    assert done.exit_code == 0, (command, done.output)
    print(done.output)
"""
"""What is typed in a project that `evalkit init` wrote."""
NO_CACHES = shutil.ignore_patterns("__pycache__")


def files_of(folder: Path) -> set[str]:
    return {
        path.relative_to(folder.parent).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def build(kind: str, source: Path, out: Path) -> Path:
    """Build without a network and without isolation, by the backend itself."""
    code = f"from setuptools.build_meta import build_{kind} as b; print(b({str(out)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked."""
    source = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        shutil.copyfile(ROOT / name, source / name)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=NO_CACHES)
    out = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build("sdist", source, out)) as packed:
        packed.extractall(out, filter="data")
    (folder,) = (path for path in out.iterdir() if path.is_dir())
    return folder


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel made of the source distribution, unpacked."""
    out = tmp_path_factory.mktemp("wheel")
    folder = out / "site"
    with zipfile.ZipFile(build("wheel", sdist, out)) as packed:
        packed.extractall(folder)
    return folder


def test_the_sdist_holds_the_package_the_suites_and_their_rows(sdist: Path) -> None:
    for name in FOLDERS:
        assert files_of(ROOT / name) - files_of(sdist / name) == set()
    assert not (sdist / "tests").exists()


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    (info,) = wheel.glob("*.dist-info")
    assert {path.name for path in wheel.iterdir()} == {"evalkit", info.name}
    assert files_of(wheel / "evalkit") == files_of(ROOT / "evalkit")


def test_the_metadata_names_distribution_commands_and_plugin(wheel: Path) -> None:
    (info,) = wheel.glob("*.dist-info")
    told = Parser().parsestr((info / "METADATA").read_text(encoding="utf-8"))
    assert told["Name"] == "pytest-evalkit"
    assert told["License-Expression"] == "Apache-2.0"
    assert "Framework :: Pytest" in (told.get_all("Classifier") or [])
    assert told.get_payload().startswith("# evalkit")
    entries = (info / "entry_points.txt").read_text(encoding="utf-8").split("\n")
    assert "evalkit = evalkit.__main__:main" in entries
    assert "evalkit = evalkit.pytest_plugin" in entries


def run_outside(wheel: Path, folder: Path, *arguments: str) -> str:
    """Run Python in a folder, with what was unpacked in the place of the checkout."""
    env = {k: v for k, v in os.environ.items() if k != "EVALKIT_SHELF"} | {"PYTHONPATH": str(wheel)}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


CHAIN = """
import sys
from pathlib import Path
import pytest
from evalkit.cli import main

def evalkit(*words):
    sys.argv = ["evalkit", *words]
    try:
        main()
    except SystemExit as stop:
        return stop.code

quick = ["-p", "no:hypothesispytest", "-p", "no:anyio", "-p", "no:xdist"]
codes = [int(pytest.main(["suites/", "--model", "tfidf-demo", "-q", *quick]))]
codes.append(evalkit("predict", "tfidf-demo", "Where is my parcel?"))
codes.append(evalkit("attest", "--new-key"))
(run,) = Path("runs").glob("*-tfidf-demo")
codes.append(evalkit("attest", str(run)))
codes.append(evalkit("verify", "tfidf-demo", "--key", "evalkit.pub"))
weights = Path("adapters/tfidf-demo/baseline.safetensors")
content = bytearray(weights.read_bytes())
content[-1] ^= 1
weights.write_bytes(content)
codes.append(evalkit("verify", "tfidf-demo", "--key", "evalkit.pub"))
print(codes)
"""


@pytest.fixture(scope="module")
def outside(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[set[str], str]:
    """What `evalkit init` writes outside the checkout, and what is said of all that is typed there.

    In one process: whatever a command reads of the package is in the wheel.
    """
    folder = tmp_path_factory.mktemp("outside")
    run_outside(wheel, folder, "-m", "evalkit", "init", "demo")
    written = files_of(folder / "demo")
    typed = TYPED + (CHAIN if find_spec("securesystemslib") else "")
    return written, run_outside(wheel, folder / "demo", "-c", typed)


def test_what_was_unpacked_runs_outside_the_checkout(
    wheel: Path, outside: tuple[set[str], str]
) -> None:
    found, said = outside
    skeleton = files_of(ROOT / "evalkit" / "skeleton")
    schemas = {f"demo/schemas/{kind}.json" for kind in ("system", "task", "gates")}
    written = {f"demo{name.removeprefix('skeleton')}" for name in skeleton} | schemas
    assert found == written | {"demo/.gitignore"}
    assert Path(said.splitlines()[0]).is_relative_to(wheel)
    for line in ("tfidf-demo is in", "queue: ", "96 rows", '"title": "evalkit: gates.toml"'):
        assert line in said, said


@pytest.mark.skipif(
    find_spec("securesystemslib") is None, reason="the extra attest is not installed"
)
def test_from_an_empty_folder_to_a_signed_verdict(outside: tuple[set[str], str]) -> None:
    """And one bit of what was judged changed, it is no longer verified."""
    _, said = outside
    assert said.splitlines()[-1] == "[0, 0, 0, 0, 0, 1]", said
    assert "NOT verified: baseline.safetensors differs" in said
