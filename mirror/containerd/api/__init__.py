"""Stubs generated from containerd's and CRI's definitions by `generate.sh`."""
