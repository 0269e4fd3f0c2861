"""What a location can do, found out by a list of probes; each says why it failed and what to do."""
