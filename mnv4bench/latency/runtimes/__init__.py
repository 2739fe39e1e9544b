"""What executes a network: one small class a runtime."""
