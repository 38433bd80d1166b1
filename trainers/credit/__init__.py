"""Credit over turns: pure functions from the turns of a training step to an advantage for each of them."""
