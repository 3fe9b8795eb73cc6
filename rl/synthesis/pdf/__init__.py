"""The text of PDF files, read in a process of its own: a PDF is a program by whoever made it."""
