"""The BERT model: training, teaching, export, int8."""
