"""Speed and accuracy, measured side by side; each module is a program of its own."""
