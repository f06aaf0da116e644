"""Cells and blocks of `view.py` as text."""
