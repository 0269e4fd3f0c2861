"""CM's names and identifiers of the automations that recipes need: those of the original."""

SCRIPT_AUTOMATION = ("script", "5b4e0237da074764")
CACHE_AUTOMATION = ("cache", "541d6f712a6b464e")
