"""A system behind HTTP."""
