"""Generated from `dht.proto`, by no hand.

From the repository's root: `python -m grpc_tools.protoc -I. --python_out=. --mypy_out=.
p2p/kad/pb/dht.proto`
"""
