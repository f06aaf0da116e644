"""Signed proof that these files passed these criteria: in-toto statements in DSSE envelopes."""
