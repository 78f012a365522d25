"""Measurements: one file a question, each beside the peer that it is measured against."""
