"""Weights and images in, COCO scores, match records and error types out."""
