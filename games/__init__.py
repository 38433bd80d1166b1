"""Installed as `vlm_gym.games`."""

if __name__ == "games":
    raise ImportError("run from an installed vlm-gym: import vlm_gym.games")
