"""The engine: takes built objects, trains them, and keeps what it learned. It never sees a config."""
