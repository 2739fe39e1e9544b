"""Images and boxes from wherever they come: a source goes in, a checked data set in COCO JSON comes out."""
