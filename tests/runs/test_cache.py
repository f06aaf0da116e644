"""What a system answered before is not asked again, and what it was not asked is not known."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from evalkit.engines.building import EngineOptions
from evalkit.records import Completion, FinishReason, Prompt, Request, Span, Unanswered
from evalkit.runs.cache import CachedModel, without_adapter
from evalkit.systems import System, load_system

SYSTEM = 'task = "notifications-3level"\nformat = "json"\nengine = "keyword"\n'


class Scripted:
    """Says what it is asked in capitals, and remembers what that was."""

    def __init__(self, device: str = "paper") -> None:
        self.asked: list[str] = []
        self.device = device

    def complete(self, requests: Sequence[Request]) -> Iterator[tuple[str, Completion]]:
        for request in requests:
            self.asked.append(request.id)
            yield request.id, Completion(request.prompt.user[0].text.upper(), FinishReason.STOP)

    def describe(self) -> Mapping[str, str | int]:
        return {"engine": "scripted", "device": self.device}

    def prompt_sha256(self, prompt: Prompt) -> str:
        return "0"


def request(name: str, text: str) -> Request:
    return Request(name, Prompt("", (Span(text, trusted=False),)), {}, "x")


@pytest.fixture
def system(tmp_path: Path) -> System:
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / "system.toml").write_text(SYSTEM)
    return load_system(folder)


Make = Callable[..., CachedModel]


@pytest.fixture
def make(system: System, tmp_path: Path) -> Make:
    def made(engine: Scripted, apart: str = "", batch_size: int = 16) -> CachedModel:
        options = EngineOptions(batch_size=batch_size)
        return CachedModel(
            system, options, tmp_path / "runs", lambda *_: engine, cache_namespace=apart
        )

    return made


def test_equal_requests_are_asked_once_and_known_ones_never(make: Make) -> None:
    engine = Scripted()
    model = make(engine)
    asked = [request("a", "x"), request("b", "y"), request("c", "x")]
    answered = model.answer(lambda: asked)
    assert {name: said.text for name, said in answered.completions.items()} == {
        "a": "X",
        "b": "Y",
        "c": "X",
    }
    assert (engine.asked, answered.reused) == (["a", "b"], 0)
    model.close()
    later = Scripted()
    answered = make(later).answer(lambda: [request("other", "y"), request("new", "z")])
    assert (later.asked, answered.reused) == (["new"], 1)
    assert answered.completions["other"].text == "Y"


def test_what_is_known_needs_no_engine(make: Make) -> None:
    model = make(Scripted())
    model.answer(lambda: [request("a", "x")])
    model.close()

    def broken(*_: object) -> Scripted:
        raise AssertionError("an engine was built")

    again = make(Scripted())
    again.build = broken
    assert again.answer(lambda: [request("a", "x")]).reused == 1
    assert again.described["engine"]["engine"] == "scripted"


def test_other_circumstances_find_nothing(make: Make, system: System) -> None:
    model = make(Scripted())
    model.answer(lambda: [request("a", "x")])
    model.close()
    for other in (make(Scripted(), apart="again"), make(Scripted(), batch_size=1)):
        assert other.answer(lambda: [request("a", "x")]).reused == 0
    file = system.folder / "system.toml"
    file.write_text(SYSTEM.replace("3level", "5level"))
    changed = CachedModel(
        load_system(system.folder), EngineOptions(), model.runs, lambda *_: Scripted()
    )
    assert changed.answer(lambda: [request("a", "x")]).reused == 0
    assert make(Scripted()).answer(lambda: [request("a", "x")]).reused == 1


def test_answers_of_an_engine_that_is_another_now_are_asked_anew(make: Make) -> None:
    model = make(Scripted("paper"))
    model.answer(lambda: [request("a", "x")])
    model.close()
    engine = Scripted("stone")
    answered = make(engine).answer(lambda: [request("a", "x"), request("b", "y")])
    assert (engine.asked, answered.reused) == (["b", "a"], 1)
    assert sorted(answered.completions) == ["a", "b"]


def test_what_got_no_answer_is_asked_again(make: Make) -> None:
    class Dying(Scripted):
        def complete(self, requests: Sequence[Request]) -> Iterator[tuple[str, Completion]]:
            for name, said in super().complete(requests):
                yield name, said if name == "a" else Unanswered("down")  # type: ignore[misc]

    model = make(Dying())
    asked = [request("a", "x"), request("b", "y"), request("c", "y")]
    answered = model.answer(lambda: asked)
    assert list(answered.completions) == ["a"]
    assert answered.unanswered == {"b": "down", "c": "down"}
    model.close()
    engine = Scripted()
    assert len(make(engine).answer(lambda: asked).completions) == 3
    assert engine.asked == ["b"]


@pytest.mark.parametrize("said", [["a"], ["a", "b", "b"], ["a", "b", "c"]])
def test_an_engine_that_miscounts_is_a_breakdown(make: Make, said: list[str]) -> None:
    class Miscounting(Scripted):
        def complete(self, requests: Sequence[Request]) -> Iterator[tuple[str, Completion]]:
            for name in said:
                yield name, Completion("x", FinishReason.STOP)

    with pytest.raises(RuntimeError, match=r"unanswered|twice"):
        make(Miscounting()).answer(lambda: [request("a", "x"), request("b", "y")])


def test_a_base_is_its_system_without_the_adapter(tmp_path: Path) -> None:
    folder = tmp_path / "tuned"
    folder.mkdir()
    (folder / "system.toml").write_text(
        f'task = "notifications-3level"\nformat = "json"\nbase = "{tmp_path}"\n'
    )
    tuned = load_system(folder)
    base = without_adapter(tuned)
    assert "adapter" in tuned.capabilities
    assert "adapter" not in base.capabilities
    assert (base.trained_files, base.task) == ((), tuned.task)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_evaluation_goes_on_where_it_was(tmp_path: Path) -> None:
    """500 rows in batches of 16: after a kill, none is computed twice beyond the last batch."""
    script = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from rich.console import Console
        from evalkit.data.loading import Dataset, hash_examples
        from evalkit.engines.building import EngineOptions
        from evalkit.records import Completion, Example, FinishReason
        from evalkit.runs.runner import Runner
        from evalkit.systems import load_system

        folder, kill_at = Path(sys.argv[1]), int(sys.argv[2])

        class Slow:
            def complete(self, requests):
                computed = 0
                for start in range(0, len(requests), 16):
                    batch = requests[start : start + 16]
                    with (folder / "computed.txt").open("a") as log:
                        log.writelines(request.id + "\\n" for request in batch)
                    computed += len(batch)
                    if kill_at and computed > kill_at:
                        os.kill(os.getpid(), signal.SIGKILL)
                    for request in batch:
                        text = '{"folder": "Work", "priority": %d}' % (int(request.id) % 3 + 1)
                        yield request.id, Completion(text, FinishReason.STOP, (1, 2), 5, 0.25)

            def describe(self):
                return {"engine": "slow"}

            def prompt_sha256(self, prompt):
                return "0"

        system = load_system(folder / "s")
        rows = tuple(
            Example(
                str(i),
                {name: f"{name} of row {i} {i * 7919}" for name in system.task.inputs},
                {"folder": "Work", "priority": i % 3 + 1},
            )
            for i in range(500)
        )
        dataset = Dataset("made", rows, (), {}, hash_examples(rows), ())
        for runs in ("runs", "alone"):
            quiet = Console(quiet=True)
            runner = Runner(folder / runs, EngineOptions(), quiet, build=lambda *_: Slow())
            print(runner.evaluate(system, dataset)[1])
            (folder / "computed.txt").rename(folder / f"{runs}.txt")
        """
    )
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "system.toml").write_text(SYSTEM)

    def run(kill_at: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", script, str(tmp_path), str(kill_at)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    log = tmp_path / "computed.txt"
    assert run(200).returncode == -signal.SIGKILL
    first = log.read_text().split()
    done = run(0)
    assert done.returncode == 0, done.stderr
    computed = (tmp_path / "runs.txt").read_text().split()
    assert len(set(computed)) == 500
    assert len(computed) - 500 <= 16
    assert set(computed[len(first) :]) & set(first) <= set(first[-16:])
    # And the run is the one that an uninterrupted evaluation writes.
    assert len((tmp_path / "alone.txt").read_text().split()) == 500
    files = [Path(line) / "predictions.jsonl" for line in done.stdout.splitlines()]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].stat().st_size > 0


@pytest.mark.parametrize("changed", ["OMP_NUM_THREADS", "ONEDNN_MAX_CPU_ISA"])
def test_what_decides_a_near_tie_is_part_of_the_key(
    changed: str, make: Make, monkeypatch: pytest.MonkeyPatch
):
    first = Scripted()
    model = make(first)
    model.answer(lambda: [request("a", "x")])
    model.close()
    monkeypatch.setenv(changed, "elsewhere")
    elsewhere = Scripted()
    model = make(elsewhere)
    assert model.answer(lambda: [request("a", "x")]).reused == 0
    model.close()
    assert elsewhere.asked == ["a"]
