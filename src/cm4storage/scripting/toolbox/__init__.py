"""What a recipe's customize.py may call through ``i["automation"]``."""
