"""A thin typed client of this node's containerd, and the stubs below it."""

import os

# Else gRPC's core writes lines of its own to stderr whenever containerd goes away. It reads this
# when it is imported, so it must be set before any module in here does that.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
