"""Who plays, what a reply earns, and turns: in this process, in others, on a cluster, into files."""
