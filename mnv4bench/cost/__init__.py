"""A network in, its parameters, FLOPs, activations and ranks out."""
