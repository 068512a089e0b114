"""What a run leaves behind: weights, state to resume from, history, pictures, TensorBoard."""
