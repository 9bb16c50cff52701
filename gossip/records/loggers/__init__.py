"""Logs of a run in the forms of other programs: CSV, TensorBoard, Weights & Biases, MLflow."""
