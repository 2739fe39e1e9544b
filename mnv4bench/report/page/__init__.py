"""Results in, one page for a browser out: index.html, which needs no server and no network."""
