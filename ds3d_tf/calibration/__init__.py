"""From beads and raw recordings to a setup: bead stacks, prepared frames, noise estimates."""
