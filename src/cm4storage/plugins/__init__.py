"""What users may add to a run: how it is named and loaded, and what is called in its course."""
