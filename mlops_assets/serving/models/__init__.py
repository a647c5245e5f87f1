"""The models as the server runs them."""
