"""What reports on one run and on several say, section by section, as blocks of `view.py`."""
