"""Generated from `dht.proto` with `make pb`; not edited by hand."""
