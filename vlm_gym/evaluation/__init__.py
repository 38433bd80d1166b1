"""How good a policy is: suites to play, turns judged, numbers with intervals."""
