"""YAML in, the plan of a preset out: models, runs and ablations, validated line by line."""
