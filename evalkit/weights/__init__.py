"""Where base weights come from: the package index, the hub, a folder or a GGUF file."""

from evalkit.weights.folder import weights_fingerprint
from evalkit.weights.progress import Progress, stderr_progress
from evalkit.weights.sources import WeightsSource, parse_source

__all__ = [
    "Progress",
    "WeightsSource",
    "parse_source",
    "stderr_progress",
    "weights_fingerprint",
]
