"""Speed, side by side with what a user would take instead; each module is a program."""
