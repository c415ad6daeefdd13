"""Scripts as one would write them with other tools, for the tables that measure them."""
