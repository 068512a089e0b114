"""Which parameters learn, and how fast: groups, schedule, depth of layers, freezing."""
