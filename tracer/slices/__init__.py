"""Where the elements of a parameter come from and which rank holds them: data of a picture, one parameter at a time."""
