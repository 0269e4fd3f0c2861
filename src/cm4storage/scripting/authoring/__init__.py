"""What helps to write recipes: lint, documents, tests, a template. Loaded only when asked for."""
