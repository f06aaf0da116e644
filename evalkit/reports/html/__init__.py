"""Reports as HTML pages: one file each, that asks nothing of any network."""
