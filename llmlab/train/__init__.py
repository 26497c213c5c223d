"""Training: batches, losses, schedules, optimisers, the loop, and checkpoints."""
