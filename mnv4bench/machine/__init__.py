"""The machine that a process runs on: its cores, its set-up, its fingerprint, how busy it is."""
