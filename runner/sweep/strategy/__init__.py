"""What a sweep runs next. Pure: next points follow from settings, rounds and trials."""
