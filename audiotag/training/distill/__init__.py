"""What is learnt from teachers: their scores, embeddings and feature maps."""
