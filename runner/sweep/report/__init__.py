"""What a sweep shows: its result, its figures, a page with everything, the terminal, and TensorBoard."""
