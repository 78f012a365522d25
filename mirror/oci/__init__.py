"""Values of the OCI distribution and image specifications; no I/O."""
