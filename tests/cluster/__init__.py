"""Real containerds, a registry and spegla nodes, each in a network namespace of its own."""
