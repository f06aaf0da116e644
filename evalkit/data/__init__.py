"""Data: labelled rows from files and the hub, cleaned, split and held against each other."""

from evalkit.data.cleaning import Deduplicated, deduplicate
from evalkit.data.fingerprints import Fingerprints, load_fingerprints
from evalkit.data.loading import BadRow, Dataset, load_dataset
from evalkit.data.normalising import normalise_text
from evalkit.data.overlap import (
    DuplicateGroup,
    Duplicates,
    Kind,
    Match,
    Overlap,
    duplicate_groups,
    find_duplicates,
    find_overlap,
)
from evalkit.data.splitting import split_off_dev

__all__ = [
    "BadRow",
    "Dataset",
    "Deduplicated",
    "DuplicateGroup",
    "Duplicates",
    "Fingerprints",
    "Kind",
    "Match",
    "Overlap",
    "deduplicate",
    "duplicate_groups",
    "find_duplicates",
    "find_overlap",
    "load_dataset",
    "load_fingerprints",
    "normalise_text",
    "split_off_dev",
]
