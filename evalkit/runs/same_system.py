"""Whether a system is still the one that a run is of."""

from __future__ import annotations

from evalkit.run_record import RunRecord
from evalkit.systems import System
from evalkit.weights import weights_fingerprint
from evalkit.weights.cache import hash_file

_NAMES = {
    "base": "the base",
    "format": "the format",
    "task_sha256": "the task",
    "quantization": "the quantization",
    "normalize": "the normalisation",
    "weights_sha256": "the base weights",
}


def changed_since(system: System, record: RunRecord) -> list[str]:
    """What decides answers and is not what the record says, by names for people."""
    config = system.config
    here: dict[str, object] = {
        "base": config.base,
        "format": system.format.name,
        "task_sha256": system.task.fingerprint,
        "quantization": config.quantization,
        "normalize": config.normalize,
    }
    base = system.source.locate() if system.source else None
    if base is not None:
        here["weights_sha256"] = weights_fingerprint(base)
    said = record.identity()
    found = [_NAMES[key] for key in here if said[key] != here[key]]
    then = record.trained_sha256
    now = {path.name: hash_file(path) for path in system.trained_files}
    return found + sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
