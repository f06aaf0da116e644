"""A system's model card: its text, the metadata above it, and its way to the Hugging Face Hub."""
