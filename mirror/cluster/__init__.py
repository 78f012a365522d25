"""Who belongs to the cluster: certificates, and later its CA, tokens and keys."""
