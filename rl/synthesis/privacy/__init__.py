"""Personal data of a judgment: found, and masked the same way everywhere in the document."""
