"""What a sweep runs next. Pure: everything follows from the settings, the rounds begun, and how their trials stand."""
