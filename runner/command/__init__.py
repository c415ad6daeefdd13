"""One command, one file: reads its arguments, calls the library, prints."""
