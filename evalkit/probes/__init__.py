"""Probes: what a model is asked beside its task, to see what an adapter made it forget."""

from evalkit.probes.checks import Checked, check
from evalkit.probes.classification import looks_like_classification
from evalkit.probes.probe import Kind, Probe, load_probes, load_texts
from evalkit.probes.requests import build_request
from evalkit.probes.sandbox import Limits, Ran, Stop, run_code, why_unavailable

__all__ = [
    "Checked",
    "Kind",
    "Limits",
    "Probe",
    "Ran",
    "Stop",
    "build_request",
    "check",
    "load_probes",
    "load_texts",
    "looks_like_classification",
    "run_code",
    "why_unavailable",
]
