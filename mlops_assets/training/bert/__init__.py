"""The BERT model: training, export, int8."""
