"""`evalkit attest`, `verify` and `gates seal`: proof that these files passed these criteria."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.atomic import write_text
from evalkit.attestation.envelope import UntrustedError, sign, verified
from evalkit.attestation.envelope import new_key as make_key
from evalkit.attestation.statement import (
    FILE,
    build_statement,
    is_judged,
    objection,
    read_statement,
)
from evalkit.cli.common import SYSTEM, AsJson, PytestCode, print_json, tell
from evalkit.environment import is_ignored
from evalkit.errors import UserError
from evalkit.gates import criteria_in_force
from evalkit.gates.sealing import read_seal, seal
from evalkit.runs import find_run, read_subject
from evalkit.systems import System, load_system, shown_path

gates = typer.Typer(help="Release criteria.", no_args_is_help=True)


def attest(
    run: Annotated[
        str | None,
        typer.Argument(help="A judged run's folder, (the start of) its name, or its system's."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Whose run it is, where that is not on the shelf.")
    ] = None,
    key: Annotated[Path, typer.Option(help="The private key that signs.")] = Path("evalkit.key"),
    out: Annotated[
        Path | None, typer.Option(help="A file; attestation.json in the system's folder.")
    ] = None,
    runs: Annotated[Path, typer.Option("--runs", help="Folder of all runs.")] = Path("runs"),
    criteria: Annotated[
        Path | None,
        typer.Option(
            "--gates",
            help="The criteria that it has to have been judged by; suites/gates.toml, if there.",
        ),
    ] = None,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Make --key and, beside it, the public one.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Sign what the gate said of a run, with the hashes of the files it is about.

    An in-toto statement (predicate test-result) in a DSSE envelope. A run that may not ship is
    attested as failed. `evalkit verify` holds a folder against it.
    """
    if new_key:
        given = {"the run": run, "--model": model, "--out": out, "--gates": criteria}
        if named := [name for name, value in given.items() if value is not None]:
            raise UserError(
                f"--new-key makes a key and signs nothing: leave out {' and '.join(named)}. "
                "--key names its file."
            )
        public = make_key(key)
        if as_json:
            print_json({"private": str(key), "public": str(public)})
        else:
            tell(
                f"{key} signs and stays secret: never commit it. {public} verifies: hand it to "
                "whoever deploys."
            )
        if is_ignored(key) is False:
            tell(f"WARNING: git does not ignore {key}: add it to .gitignore.", err=True)
        return
    if run is None:
        raise UserError("Name the run to attest: `evalkit runs` lists them.")
    folder = find_run(run, runs, fits=is_judged)
    system = _subject(folder) if model is None else load_system(model)
    statement = build_statement(system, folder, criteria_in_force(criteria))
    path = out or system.folder / FILE
    if path.is_dir():
        raise UserError(f"{shown_path(path)} is a folder. Give --out the name of a file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, sign(statement, key))
    result = statement["predicate"]["result"]
    if as_json:
        print_json({"file": str(path), "statement": statement})
    else:
        tell(f"{shown_path(path)}: {system.name} {result}, {len(statement['subject'])} subjects")


def _subject(run: Path) -> System:
    name = read_subject(run)[0]
    try:
        return load_system(name)
    except UserError as error:
        raise UserError(f"{error} A system elsewhere is named with --model FOLDER.") from error


def verify(
    folder: Annotated[str, typer.Argument(help=SYSTEM)],
    key: Annotated[Path, typer.Option(help="The public key of whoever attested.")],
    attestation: Annotated[
        Path | None, typer.Option(help="Where it lies; attestation.json in the folder.")
    ] = None,
    criteria: Annotated[
        Path | None, typer.Option("--gates", help="Criteria it has to have passed: gates.toml.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that these very files passed: exit code 0, or 1 with the reason."""
    system = load_system(folder)
    wanted = criteria_in_force(criteria) if criteria is not None else None
    sealed = None
    try:
        attested = read_statement(verified(attestation or system.folder / FILE, key))
        why, sealed = objection(attested, system, wanted), attested.sealed
    except UntrustedError as error:
        why = str(error)
    if as_json:
        print_json({"system": system.name, "verified": why is None, "why": why, "sealed": sealed})
    elif why is None:
        when = f"criteria sealed {sealed}" if sealed else "criteria not sealed beforehand"
        tell(f"{system.name}: verified; {when}")
    else:
        tell(f"{system.name}: NOT verified: {why}")
    raise SystemExit(PytestCode(0 if why is None else 1))


@gates.command("seal")
def gates_seal(
    criteria: Annotated[Path, typer.Option("--gates", help="Release criteria.")] = Path(
        "suites/gates.toml"
    ),
    as_json: AsJson = False,
) -> None:
    """Write the criteria's hash and the time beside them, before a system is judged.

    Commit the file: the verdict then says whether the criteria in force are those, and since when.
    """
    path = seal(criteria)
    found = read_seal(criteria)
    assert found is not None
    if as_json:
        print_json({"file": str(path), "criteria_sha256": found[0], "sealed": found[1].isoformat()})
        return
    tell(f"{shown_path(path)}: criteria {found[0][:12]}, sealed {found[1].isoformat()}")
