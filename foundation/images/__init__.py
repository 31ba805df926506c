"""Reading images, masks, run lengths, pooling, preprocessing."""
