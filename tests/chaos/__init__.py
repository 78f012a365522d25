"""A long run in which everything fails at random; `sh tests/soak` starts it."""
