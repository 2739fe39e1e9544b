"""Networks and images in, raw outputs out: one file for each runtime that they are deployed on."""
