"""What people are told between two trainings: spikes of negative reviews, and how right the live model seems to be."""
