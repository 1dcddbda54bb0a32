"""Redis Streams: commands, readers and scripts."""
