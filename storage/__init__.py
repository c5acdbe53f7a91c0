"""What the bot remembers: encrypted at rest, forgotten on time."""
