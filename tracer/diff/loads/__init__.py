"""Two traces of loads: which elements went where, whoever moved them and in however many moves."""
