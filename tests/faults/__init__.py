"""The fault matrix: one pull for each fault, through spegla and without, on each containerd.

`lab` sets up a cluster once for a version of containerd; `scene` is the world of one pull;
`cells_*` say what goes wrong in it; `pulling` pulls and judges; `page` writes the table.
"""
