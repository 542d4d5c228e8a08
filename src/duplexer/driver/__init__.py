"""What all fronts share: the steps of opening a connection, and what a connection tells of itself."""
