"""The loader: order, readers, prefetch, the step loop and emulated computation."""
