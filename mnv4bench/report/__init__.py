"""Results in, what people read out: tables, figures, the paper, generated documentation. Nothing is judged here."""
