"""The schema of every file under results/, one module a stage; read and written here, computed elsewhere."""
