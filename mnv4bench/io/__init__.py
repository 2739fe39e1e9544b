"""Files written whole or not at all, locks that die with their process, and the errors that users can mend."""
