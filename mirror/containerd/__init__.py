"""A thin typed client of this node's containerd, and the stubs below it."""
