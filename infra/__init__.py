"""What touches the outside world. It decides nothing."""
