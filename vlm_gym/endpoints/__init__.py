"""HTTP endpoints of models: connections, answers, pauses, and options that they refuse."""
