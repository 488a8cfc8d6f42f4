"""``sclip predict`` over any number of images: sessions, processes, and what lies in the folder of predictions."""
