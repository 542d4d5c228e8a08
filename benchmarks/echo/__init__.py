"""The programs that are compared: one of each library, all with the same manners."""
