"""Recordings proved line by line, drawn again, and turned into films."""
