"""What others published: layouts of their checkpoints, weights read safely, and their figures."""
