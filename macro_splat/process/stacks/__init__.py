"""Focus stacks: which photographs belong together, and how their slices lie to one another."""
