"""The OCI pull endpoint that containerd and peers talk to."""
