"""The door that fits: training data, training, evaluation and publishing of encoders."""
