from __future__ import annotations

from pathlib import Path

import pytest

from evalkit import environment

CPUINFO = (
    "processor\t: 0\nflags\t\t: fpu avx avx2 avx512f avx512_bf16 amx_tile amx_bf16\nprocessor: 1\n"
)


def test_what_decides_how_sums_are_rounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: CPUINFO)
    monkeypatch.setattr(environment, "usable_cores", lambda: 2)
    for name in environment._ROUNDING_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    environment._processor_features.cache_clear()
    try:
        assert environment.processor() == {
            "features": "amx_bf16 amx_tile avx avx2 avx512f avx512_bf16",
            "cores": "2",
            "OMP_NUM_THREADS": "1",
        }
    finally:
        environment._processor_features.cache_clear()


def test_elsewhere_than_on_linux_no_feature_is_known(monkeypatch: pytest.MonkeyPatch):
    def absent(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", absent)
    environment._processor_features.cache_clear()
    try:
        assert environment.processor()["features"] == ""
    finally:
        environment._processor_features.cache_clear()
