"""Where settings come from: the environment, `.env`, and secrets in files."""

from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from consumer.settings.secret_files import SecretFiles


class FromOutside(BaseSettings):
    """Reads its fields from outside, once and for all; its errors quote nothing that was given."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        enable_decoding=False,
        hide_input_in_errors=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read `NAME_FILE` too, first of all: it must see that NAME is given as well."""
        named = (env_settings, dotenv_settings)
        given: dict[str, str | None] = {}
        for source in reversed(named):
            if isinstance(source, EnvSettingsSource | DotEnvSettingsSource):
                given.update(source.env_vars)
        return (
            init_settings,
            SecretFiles(settings_cls, given),
            *named,
            file_secret_settings,
        )
