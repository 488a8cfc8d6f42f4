"""``sclip app``: a page in the browser that segments one's own images while one changes words and numbers."""
