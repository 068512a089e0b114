"""Data sets: preparing recordings, storing them in shards, reading and augmenting them."""
