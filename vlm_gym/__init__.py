"""Games that a vision-language model learns to play from screenshots."""
