"""Fine-tuning: a trained model adapted to new labels, from its plan to what it came to."""
