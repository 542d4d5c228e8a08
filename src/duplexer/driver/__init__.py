"""What all fronts share: the steps of opening a connection, and what each tells of itself."""
