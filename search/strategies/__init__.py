"""How the next candidates are proposed."""
