"""What each mechanism of the hot path brings: switched off one at a time, by a small patch."""
