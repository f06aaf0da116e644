"""evalkit: a release gate for small fine-tuned language models that classify text.

What is public is loaded when it is first used (PEP 562), so that `import evalkit` costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in `typing`, whose import takes longer than all of this
if TYPE_CHECKING:
    from evalkit.classifier import Classification as Classification
    from evalkit.classifier import Classifier as Classifier
    from evalkit.classifier import load as load
    from evalkit.errors import UserError as UserError
    from evalkit.scoring import evaluate as evaluate
    from evalkit.scoring import read_run as read_run

__version__ = "0.1.0"

_PUBLIC = {
    "Classification": "evalkit.classifier",
    "Classifier": "evalkit.classifier",
    "load": "evalkit.classifier",
    "UserError": "evalkit.errors",
    "evaluate": "evalkit.scoring",
    "read_run": "evalkit.scoring",
}
"""Name -> the module that it comes from."""


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'evalkit' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
