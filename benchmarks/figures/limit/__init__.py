"""Where the time of a label goes, and how far each part of it is from what the processor can do."""
