"""The runtime that every Trunkline service shares: server, stages, errors, deadlines, channels, breakers, limiter."""
