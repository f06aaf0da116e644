"""Data: labelled rows from files and the hub, cleaned and split."""

from evalkit.data.cleaning import Deduplicated, deduplicate
from evalkit.data.loading import BadRow, Dataset, load_dataset
from evalkit.data.splitting import normalise_text, split_off_dev

__all__ = [
    "BadRow",
    "Dataset",
    "Deduplicated",
    "deduplicate",
    "load_dataset",
    "normalise_text",
    "split_off_dev",
]
