"""Installed as `vlm_gym.trainers`."""

if __name__ == "trainers":
    raise ImportError("run from an installed vlm-gym: import vlm_gym.trainers")
