"""Agent loops in which the model commits the faults that models commit."""
