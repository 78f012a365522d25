"""libp2p on real sockets: what `p2p.port.Transport` means outside a simulation.

Of py-libp2p we use what speaks to Go and holds up: noise, yamux, keys and the identify message.
Its swarm and host are not used. They keep 250 connections in total and then refuse new ones for
ever, share a taken port without a word, dial one address of a peer, close one connection after
the other at 0.2 s each, and die of an exception in a stream handler (all measured with 0.8.1).
"""

from p2p.wire.diet import preload

preload()
