"""The hand on the simulator: clock steps, faults, truth and status."""
