"""The bytes of vendors, decoded and encoded: pure codecs that driver and twin share, and the buses that carry them."""
