"""What the stages of training are made of."""
