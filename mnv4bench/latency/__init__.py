"""How long networks take where they are deployed: tasks in, judged rows out."""
