"""What a backup holds, and how it is put back."""
