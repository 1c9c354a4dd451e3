"""Real processes, killed, stopped, cut off and starved; what participants were told is checked."""
