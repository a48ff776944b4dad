"""What is known about providers and models: rows of data, and the little that a row cannot say."""
