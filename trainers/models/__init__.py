"""Vision-language models: those of the hub and tiny ones; loading, sampling and preparing them."""
