"""Other tools' data sets: a folder in their layout goes in, a new folder in COCO 2017's layout comes out."""
