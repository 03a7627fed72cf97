"""What the daemon is told from outside: the only reader of the environment."""

from consumer.settings.load import SettingsError, load_settings
from consumer.settings.mask import mask_urls
from consumer.settings.model import Settings, settings_table

__all__ = ["Settings", "SettingsError", "load_settings", "mask_urls", "settings_table"]
