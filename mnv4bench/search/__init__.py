"""Crops and a budget → a backbone, searched as MobileNetV4 was: a supernet, a controller, a cost of every choice."""
