"""The conversations: what the bot can talk about. Each is written once and serves every channel."""
