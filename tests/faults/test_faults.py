"""The quick cells of the fault matrix; `sh tests/versions` runs all, on a version more."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.cluster import containerd
from tests.cluster.workspace import Workspace, sweep
from tests.faults.cell import Cell
from tests.faults.ground import Ground, open_ground
from tests.faults.lab import Lab, open_lab
from tests.faults.matrix import all_cells
from tests.faults.pulling import run

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    if os.geteuid() != 0:
        pytest.skip("cluster tests need root")
    sweep()
    with Workspace() as workspace, open_ground(workspace) as ground:
        yield ground


@pytest.fixture(scope="module", params=["1.6", "2.1"])
def lab(request: pytest.FixtureRequest, ground: Ground) -> Iterator[Lab]:
    build = containerd.debian() if request.param == "1.6" else containerd.newest()
    with open_lab(build, ground) as lab:
        yield lab


@pytest.mark.parametrize("cell", [cell for cell in all_cells() if cell.quick], ids=str)
def test_a_pull_is_no_worse_than_without_us(lab: Lab, cell: Cell) -> None:
    outcome = run(cell, lab)
    print(f"{outcome} s with us / without")
    assert outcome.problem(cell.rule) == ""
