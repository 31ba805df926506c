"""Memory that building and querying take: `growth` measures processes that `worker` runs."""
