"""What papers, code repositories and an article publish, as data, and how each figure fares when it is checked."""
