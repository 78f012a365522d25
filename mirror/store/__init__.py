"""What this node holds: content by digest, and the names that point to it."""
