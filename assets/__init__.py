"""Installed as `vlm_gym.assets`: fonts and pictures, listed with their sources in README.md."""

if __name__ == "assets":
    raise ImportError("run from an installed vlm-gym: import vlm_gym.assets")
