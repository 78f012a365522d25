"""Every cell, in the order of the table."""

from __future__ import annotations

from tests.faults import dht_cells, link_cells, node_cells, peer_cells, upstream_cells
from tests.faults.cell import Cell


def all_cells() -> list[Cell]:
    """The matrix."""
    return [
        *peer_cells.cells(),
        *dht_cells.cells(),
        *link_cells.cells(),
        *upstream_cells.cells(),
        *node_cells.cells(),
    ]
