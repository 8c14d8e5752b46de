"""What is fitted to a trained model: confidence, recall, encoder."""
