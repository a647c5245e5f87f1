"""The reviews on disk, their versions, labels and sides; erasure."""
