"""`python -m tests.cluster.leftovers`: ends what a crashed cluster test session left behind."""

from __future__ import annotations

import sys

from tests.cluster.workspace import sweep

if __name__ == "__main__":
    for folder in sweep():
        print(f"removed what was left of {folder}", file=sys.stderr)
