"""Who may come in, where to, and what is believed of them: decisions without I/O."""
