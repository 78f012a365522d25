"""The command `spegla`: one file a command, no logic."""
