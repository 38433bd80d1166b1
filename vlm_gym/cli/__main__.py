"""`python -m vlm_gym.cli`, the form in which launchers of many processes start the command."""

from vlm_gym.cli import main

main()
