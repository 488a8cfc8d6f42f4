"""Work over many images in one folder: what it holds, going on, and sharing the images among processes."""
