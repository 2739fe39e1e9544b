"""Networks that others published: counted or timed for the ledger, or loaded from their files; never trained."""
