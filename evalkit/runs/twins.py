"""Which training row a row repeats, where the training rows are still at hand."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.data import Match, load_dataset
from evalkit.data.loading import join_datasets
from evalkit.data.overlap import find_twins
from evalkit.data.sources import find_source, shown_source
from evalkit.errors import UserError
from evalkit.records import Example
from evalkit.systems import System


def training_twins(
    system: System,
    examples: Sequence[Example],
    seen: Sequence[Match | None],
    data_sha256: str | None,
) -> dict[str, str]:
    """Name the training rows that rows repeat, by file and id.

    They are in the files that the system's recipe names, if those are still the rows that it was
    trained on (`data_sha256`); nothing is downloaded for this. `seen` has what its fingerprints say
    of each row; it is empty where it has none.
    """
    asked = [row for row, match in zip(examples, seen, strict=bool(seen)) if match]
    named = system.config.recipe.get("data") or []
    sources = [named] if isinstance(named, str) else named
    if not asked or not sources or any(source.startswith("hf:") for source in sources):
        return {}
    try:
        read = [
            load_dataset(
                find_source(source, system.folder),
                system.task,
                on_bad_row="skip",
                prefer_split="train",
            )
            for source in sources
        ]
    except UserError:  # the fingerprints have said what counts
        return {}
    joined = join_datasets(read)
    if joined.sha256 != data_sha256:
        return {}
    names = [
        f"{shown_source(source)}: {row.id}"
        for source, dataset in zip(sources, read, strict=True)
        for row in dataset.examples
    ]
    return {
        row.id: names[match.position]
        for row, match in zip(asked, find_twins(joined.examples, asked), strict=True)
        if match and match.position is not None
    }
