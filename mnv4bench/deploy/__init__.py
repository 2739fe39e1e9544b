"""A trained network and real images in; files that a runtime loads out, each checked against the network."""
