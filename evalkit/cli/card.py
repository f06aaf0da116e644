"""`evalkit card`: a system's model card, from its newest judged run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit.cli.common import AnyName, AsJson, print_json, tell
from evalkit.cli.runs import RUNS
from evalkit.errors import UserError
from evalkit.locale import say
from evalkit.reports.card.metadata import benchmark_entry, describe_subject
from evalkit.reports.card.subject import subject_of
from evalkit.reports.card.text import render_card
from evalkit.reports.card.upload import check_upload, upload
from evalkit.reports.card.which_run import find_card_run
from evalkit.reports.writing import write_text
from evalkit.runs import read_verdicts
from evalkit.systems import load_system, missing_parts, shown_path

if TYPE_CHECKING:
    from evalkit.reports.judged import JudgedRun
    from evalkit.systems import System

CARD = "README.md"
EVAL_RESULTS = Path(".eval_results", "evalkit.yaml")


def card(
    name: AnyName = None,
    run: Annotated[
        str | None, typer.Option(help="A run's folder or name; the newest whole one by default.")
    ] = None,
    runs: RUNS = Path("runs"),
    to: Annotated[
        Path | None, typer.Option("--out", help="Folder for README.md; the system's by default.")
    ] = None,
    license: Annotated[
        str | None, typer.Option(help="The adapter's, such as apache-2.0; kept in the card.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Of its texts, such as en; kept in the card.")
    ] = None,
    benchmark: Annotated[
        str | None,
        typer.Option(
            metavar="TASK_ID",
            help="The run's rows are a benchmark on the Hub with this task: write .eval_results/.",
        ),
    ] = None,
    push: Annotated[
        str | None, typer.Option(metavar="OWNER/REPO", help="Upload adapter and card to the Hub.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a system's model card for the Hugging Face Hub: what the gates said of it."""
    for option, said, form, such_as in (
        ("--license", license, r"[a-z0-9][a-z0-9.-]*", "apache-2.0"),
        ("--language", language, r"[a-z]{2,3}|code|multilingual", "en"),
    ):
        if said is not None and not re.fullmatch(form, said):
            raise UserError(f"{option} {said}: the Hub writes it in small letters: {such_as}.")

    system = load_system(name)
    if not system.trained_files:
        raise UserError(f"{system.name} has nothing that was trained, so it needs no card.")
    if not system.is_trained:
        raise UserError(" ".join(missing_parts(system)))
    if push is not None:
        check_upload(push)
    judged = find_card_run(system, runs, run)
    folder = to or system.folder
    given = {"license": license, "language": language}
    chosen = {key: said for key, said in given.items() if said is not None}
    written, metadata = _write(system, judged, folder, chosen, benchmark, push or "")
    address = upload(system, written, push) if push is not None else None
    lacking = [f"--{key}" for key in given if not metadata.get(key)]
    assert judged.release is not None
    if as_json:
        print_json(
            {
                "card": str(written[0]),
                "run": judged.name,
                "verdict": judged.verdict,
                "may_ship": judged.release.may_ship,
                "results": len(metadata["eval_results"]),
                "eval_results": str(written[1]) if len(written) > 1 else None,
                "pushed": address,
                "not_said": lacking,
            }
        )
        return
    tell(f"{shown_path(written[0])}: {system.name} {judged.verdict} ({judged.name})")
    if judged.by_others:
        tell(say("note.other_criteria", run=judged.name), err=True)
    if len(written) > 1:
        tell(f"{shown_path(written[1])}: its entry for the benchmark's leaderboard")
    if lacking:
        tell(f"The card says nothing of what {' and '.join(lacking)} would say.", err=True)
    if address:
        tell(address)


def _write(
    system: System,
    judged: JudgedRun,
    folder: Path,
    chosen: dict[str, str],
    benchmark: str | None,
    repo: str,
) -> tuple[list[Path], Any]:
    """Write the card, and the benchmark's entry beside it; returns the files and the metadata."""
    from huggingface_hub import eval_result_entries_to_yaml
    from huggingface_hub.utils import yaml_dump  # type: ignore[attr-defined]

    measured = (read_verdicts(judged.folder) or {})["measured"]
    entry = None
    if benchmark is not None:
        entry = benchmark_entry(judged, measured, benchmark, repo)
    provenance = _provenance(system.folder / "provenance.json")
    subject = subject_of(system)
    kept = {**_front_matter(folder / CARD), **chosen}
    metadata = describe_subject(subject, provenance, judged=judged, measured=measured, kept=kept)
    try:
        text = render_card(
            subject,
            metadata,
            provenance,
            plotted=(folder / "loss.png").is_file(),
            judged=judged,
            repo=repo,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{system.folder / 'provenance.json'} is not as training writes it ({error!r}). "
            "Train again, or take the file away."
        ) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = [write_text(folder / CARD, text)]
        if entry is not None:
            path = folder / EVAL_RESULTS
            path.parent.mkdir(exist_ok=True)
            content = yaml_dump(eval_result_entries_to_yaml([entry]), sort_keys=False)
            written.append(write_text(path, content))
    except OSError as error:
        raise UserError(f"{folder} cannot be written to: {error.strerror}.") from error
    return written, metadata


def _provenance(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} holds no object. Train again, or take the file away.")
    return found


def _front_matter(path: Path) -> dict[str, Any]:
    """What an earlier card says to the Hub: a licence that was written there stays."""
    from huggingface_hub import ModelCard

    if not path.is_file():
        return {}
    try:
        return dict(ModelCard.load(path, ignore_metadata_errors=True).data.to_dict())
    except Exception as error:
        raise UserError(
            f"{path} has a front matter that cannot be read. Mend it or take it away: "
            f"{str(error).splitlines()[0][:200]}"
        ) from error
