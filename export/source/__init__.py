"""What is exported, and what a user says of it: model, labels, calibration and test images."""
