"""Policies, rewards and rollouts: in this process, in others, on a cluster, into files."""
