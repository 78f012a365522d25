"""What this node is told: flags, environment, config.yaml and registries.yaml, read once."""
