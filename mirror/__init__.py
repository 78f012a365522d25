"""The node: serves what this node's containerd holds, and fetches from peers what it lacks."""

VERSION = "0.1.0"
