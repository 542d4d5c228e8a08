"""Who may come in, and what is believed of them: decisions without I/O."""
