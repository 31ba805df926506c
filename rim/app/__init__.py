"""`rim app`: a local page that labels photos, shows why, and lets the user correct the bank."""
