"""From the bytes of an image file to uint8 pixels, whichever library decodes them."""
