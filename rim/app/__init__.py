"""`rim app`: a local page that labels photos, shows why, and lets a person mend the bank."""
