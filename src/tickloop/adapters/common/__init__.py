"""What several adapters share: forms of data that are the same wherever they are kept."""
