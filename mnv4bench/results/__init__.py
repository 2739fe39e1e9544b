"""The schema of every file under results/: a module for each stage. Read and written here, computed elsewhere."""
