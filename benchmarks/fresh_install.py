"""The wheel of the last commit in a fresh environment, outside the checkout.

    python benchmarks/fresh_install.py              # with a baseline; most of the time is pip's
    python benchmarks/fresh_install.py --model      # the language model of `evalkit init` too

What the documentation tells a user to type is typed, from `evalkit init` to `evalkit verify`; then
a byte of what was judged is changed, which `verify` has to notice. Packages come from pip's index,
under `constraints.txt`. Ends with 1 where a step does not do what it should.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
Step = tuple[str, int | str, str]
"""What is typed, the exit code, and what has to be said. A system's name in place of a code is 0 or
1, as its gate says, and the same wherever it stands. `flip` changes the last byte of a file."""
BASELINE: list[Step] = [
    ("evalkit train tfidf-demo", 0, "The baseline tfidf-demo is in"),
    ("pytest suites/ --model tfidf-demo -q", 0, "tfidf-demo may ship"),
    ('evalkit predict tfidf-demo "My parcel never came"', 0, "queue: "),
    ("evalkit data stats data/train.jsonl --task task.toml", 0, "96 rows"),
    ("evalkit attest --new-key", 0, "evalkit.pub verifies"),
    ("evalkit attest tfidf-demo", 0, "tfidf-demo PASSED"),
    ("evalkit verify tfidf-demo --key evalkit.pub", 0, "tfidf-demo: verified"),
    ("flip adapters/tfidf-demo/baseline.safetensors", 0, ""),
    ("evalkit verify tfidf-demo --key evalkit.pub", 1, "baseline.safetensors differs"),
]
MODEL: list[Step] = [
    ("evalkit fetch", 0, "are here"),
    ("evalkit train", 0, "The adapter of demo is in"),
    ("pytest suites/ -q", "demo", "demo may "),
    ('evalkit predict demo "My parcel never came"', 0, "queue: "),
    ("evalkit export demo --gguf Q8_0 --judge", "demo-Q8_0", "answers that differ"),
    ("evalkit attest demo", 0, "demo "),
    ("evalkit verify demo --key evalkit.pub", "demo", "demo: "),
    ("evalkit attest demo-Q8_0 --model exports/demo-Q8_0", 0, "demo-Q8_0 "),
    ("evalkit verify exports/demo-Q8_0 --key evalkit.pub", "demo-Q8_0", "demo-Q8_0: "),
    ("flip adapters/demo/adapter_model.safetensors", 0, ""),
    ("evalkit verify demo --key evalkit.pub", 1, "adapter_model.safetensors differs"),
    ("flip exports/demo-Q8_0/demo-Q8_0.gguf", 0, ""),
    ("evalkit verify exports/demo-Q8_0 --key evalkit.pub", 1, "demo-Q8_0.gguf differs"),
]


def main() -> int:
    """Build, install, go through the steps, and say how long each took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", action="store_true", help="train and judge SmolLM2-135M, too")
    with_model = parser.parse_args().model
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        timed("venv", [sys.executable, "-m", "venv", str(folder / "venv")], folder)
        bin_folder = folder / "venv" / "bin"
        pip = [str(bin_folder / "python"), "-m", "pip"]
        wheel = build(pip, folder / "dist")
        timed(
            "pip install",
            [*pip, "install", "-q", "-c", str(ROOT / "constraints.txt"), f"{wheel}[gguf,attest]"],
            folder,
        )
        env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "EVALKIT_SHELF")}
        env["PATH"] = f"{bin_folder}{os.pathsep}{env['PATH']}"
        steps: list[Step] = [
            ("evalkit init demo", 0, "is ready"),
            *BASELINE,
            *(MODEL if with_model else ()),
        ]
        verdicts: dict[str, int] = {}
        right = [step(*each, verdicts, folder, env) for each in steps]
    return 0 if all(right) else 1


def build(pip: list[str], out: Path) -> Path:
    """The last commit's wheel, built as pip builds it, without what lies about."""
    source = out / "source"
    source.mkdir(parents=True)
    packed = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True)
    subprocess.run(["tar", "-x"], cwd=source, input=packed.stdout, check=True)
    timed("build", [*pip, "wheel", "-q", "--no-deps", "-w", str(out), str(source)], out)
    (wheel,) = out.glob("*.whl")
    return wheel


def timed(name: str, command: list[str], cwd: Path) -> None:
    """Run a command that has to succeed."""
    start = time.monotonic()
    subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL)
    say(start, name)


def step(
    command: str,
    code: int | str,
    says: str,
    verdicts: dict[str, int],
    folder: Path,
    env: dict[str, str],
) -> bool:
    """Type a command in the project; does it end and say as it should?"""
    demo = folder / "demo"
    start = time.monotonic()
    tool, *arguments = shlex.split(command)
    if tool == "flip":
        flip_last_byte(demo / arguments[0])
        say(start, command)
        return True
    done = subprocess.run(
        [shutil.which(tool, path=env["PATH"]) or tool, *arguments],
        cwd=demo if demo.is_dir() else folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    if isinstance(code, str):
        code = verdicts.setdefault(code, min(done.returncode, 1))
    right = says in said and code == done.returncode
    mark = "" if right else f"  WRONG: exit code {done.returncode}\n{said[-3000:]}"
    say(start, f"{command}{mark}")
    return right


def flip_last_byte(file: Path) -> None:
    """Change one bit of what was judged."""
    file.write_bytes(file.read_bytes()[:-1] + bytes([file.read_bytes()[-1] ^ 1]))


def say(start: float, what: str) -> None:
    """One line: seconds since then, and what was done."""
    sys.stdout.write(f"{time.monotonic() - start:6.1f} s  {what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
