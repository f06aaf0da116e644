"""evalkit: a release gate for small fine-tuned language models that classify text."""

__version__ = "0.1.0"
