"""Networks in, timed blocks out: tasks, sessions, turns and the canary."""
