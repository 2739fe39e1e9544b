"""MobileNetV4 (arXiv 2404.10518): its tables as data, blocks, attention and the network."""
