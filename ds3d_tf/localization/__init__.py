"""From frames to a table of molecules: peaks, frame stacks, tables."""
