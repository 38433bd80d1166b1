"""What a run would take, and whether it would run, told before it does."""
