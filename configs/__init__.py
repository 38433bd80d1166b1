"""Installed as `vlm_gym.configs`."""

if __name__ == "configs":
    raise ImportError("run from an installed vlm-gym: import vlm_gym.configs")
