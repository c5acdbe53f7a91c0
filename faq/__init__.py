"""What the bot knows: no channel, no database."""
