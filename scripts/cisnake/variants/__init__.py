"""Effects of sequence variants on the genes around them."""
