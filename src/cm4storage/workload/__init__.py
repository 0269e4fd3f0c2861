"""DLIO YAML and overrides become a typed, frozen `Workload`, and that becomes a `Plan`."""
