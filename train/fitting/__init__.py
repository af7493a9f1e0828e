"""How a recipe is trained: batches, schedules, progress on disk, several devices."""
