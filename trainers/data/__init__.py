"""The data of a cold start: what teachers reply to positions, kept as rows."""
