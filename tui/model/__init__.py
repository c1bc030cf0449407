"""What the browser shows, without Textual: subjects, pages of lines, and what Enter on a line leads to."""
