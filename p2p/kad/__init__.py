"""Kademlia as Spegel's nodes speak it, without sockets, clock or tasks.

`dht.Dht` takes what happened (with the time) and gives back what to do (`commands`).
"""
