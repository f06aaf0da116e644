"""An adapter's folder on the Hugging Face Hub."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from evalkit.data.quoting import shown_error
from evalkit.errors import UserError
from evalkit.systems import System

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
BESIDE = ("system.toml", "provenance.json", "contamination.bin", "loss.png")
"""What goes up with the weights and the card, where it is there."""


def check_upload(repo: str) -> None:
    """Before anything is written: is this a repository's name, and is there a token?

    Raises:
        UserError: no.
    """
    from huggingface_hub import get_token

    if not _REPOSITORY.fullmatch(repo) or ".." in repo or "--" in repo:  # the Hub's own rules
        raise UserError(f"--push {repo}: write it as OWNER/NAME, such as me/my-adapter.")
    if get_token() is None:
        raise UserError(
            f"--push {repo} needs a token that may write there. Set HF_TOKEN, or log in with "
            "`hf auth login`."
        )


def upload(system: System, written: Iterable[Path], repo: str) -> str:
    """Put the adapter and what belongs to it on the Hub, in one commit; a new repo is private.

    Of what was `written` the card comes first.

    Returns the address.

    Raises:
        UserError: the Hub cannot be reached, or refuses.
    """
    import httpx2
    from huggingface_hub import CommitOperationAdd, HfApi

    card, *others = written
    task = system.config.task
    names = [*BESIDE, *([task] if task.endswith(".toml") else [])]
    files = {path.name: path for path in system.trained_files}
    files |= {name: system.folder / name for name in names if (system.folder / name).is_file()}
    files |= {str(path.relative_to(card.parent)): path for path in (card, *others)}
    operations = [CommitOperationAdd(name, path) for name, path in files.items()]
    api = HfApi(library_name="evalkit")
    try:
        api.create_repo(repo, private=True, exist_ok=True)
        api.create_commit(repo, operations, commit_message=f"{system.name}, with its model card")
    except (httpx2.HTTPError, OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"--push {repo}: {shown_error(error)} The card is in {card}; nothing else was changed "
            "here. Is there a network, and may the token write to that repository?"
        ) from error
    return f"https://huggingface.co/{repo}"
