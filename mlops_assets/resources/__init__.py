"""The outside things: only these start processes or open sockets."""
