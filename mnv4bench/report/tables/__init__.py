"""Results in, CSV, Markdown and LaTeX tables out."""
