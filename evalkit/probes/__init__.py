"""Probes: what a model is asked beside its task, to see what an adapter made it forget."""

from evalkit.probes.checks import Checked, check
from evalkit.probes.classification import looks_like_classification
from evalkit.probes.probe import Probe, ProbeKind, load_probes, load_texts
from evalkit.probes.requests import probe_request
from evalkit.probes.sandbox import Limits, Ran, Stop, run_code, why_unavailable

__all__ = [
    "Checked",
    "Limits",
    "Probe",
    "ProbeKind",
    "Ran",
    "Stop",
    "check",
    "load_probes",
    "load_texts",
    "looks_like_classification",
    "probe_request",
    "run_code",
    "why_unavailable",
]
