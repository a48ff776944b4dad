"""Settings of other gateways, turned into an organisation's document."""
