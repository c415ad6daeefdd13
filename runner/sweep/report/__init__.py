"""What a sweep shows: its course, its pictures, a page with everything, and TensorBoard's summary."""
