"""Networks that are counted or timed for the ledger, and never trained."""
