"""Games as gymnasium environments: one, one by replies, many of a kind, many of several kinds."""
