"""Sources: copies of data sets as people have them, each giving recordings in a fixed order."""
