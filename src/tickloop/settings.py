"""Typed settings, read once by `bootstrap`: defaults, then `tickloop.toml` in the home, then `TICKLOOP_*`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tickloop.domain.market import is_market
from tickloop.errors import SettingsError

DEFAULT_HOME = Path("~/.local/share/tickloop/main")
SETTINGS_FILE = "tickloop.toml"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ExchangeSettings(_Section):
    """Where the exchange is. The defaults are Upbit's public addresses."""

    rest_url: str = "https://api.upbit.com"
    websocket_url: str = "wss://api.upbit.com/websocket/v1"
    access_key: SecretStr | None = None
    secret_key: SecretStr | None = None
    is_path_invented: bool = False  # the exchange is a simulator that makes its trades from candles


class CollectSettings(_Section):
    """The collector: what it subscribes to and how it writes."""

    sync_interval_s: float = Field(default=0.25, gt=0, le=10)
    segment_bytes: int = Field(default=64_000_000, ge=1_000)
    queue_frames: int = Field(default=100_000, ge=100)
    with_orderbook: bool = False


class HistorySettings(_Section):
    """How far back bars are fetched before the first start."""

    backfill_days: int = Field(default=14, ge=0, le=400)


class TrainingSettings(_Section):
    """Slots, data lengths and candidates."""

    slot_hours: int = Field(default=6, ge=1, le=168)
    training_hours: int = Field(default=288, ge=24)
    gate_hours: int = Field(default=48, ge=1)
    families: tuple[str, ...] = ("ridge", "lightgbm")
    feature_set: str = "bar"
    seed: int = 20240122


class PromotionSettings(_Section):
    """The rule by which a challenger replaces the champion."""

    metric: Literal["mae_bp", "profit_krw"] = "mae_bp"
    optimize: Literal["minimize", "maximize"] = "minimize"
    min_improvement: float = Field(default=0.0, ge=0)
    max_bias_bp: float = Field(default=2.0, gt=0)

    @model_validator(mode="after")
    def _direction(self) -> Self:
        right = "maximize" if self.metric == "profit_krw" else "minimize"
        if self.optimize != right:
            raise ValueError(f"optimize {self.optimize!r} would promote the worst by {self.metric}; valid: {right!r}")
        return self


class StrategySettings(_Section):
    """What the bot trades and by which preset."""

    preset: Literal["default", "seed2023"] = "default"
    order_notional: Decimal | None = None  # None: the preset's own
    budget: Decimal = Decimal(50_000)
    forecast_delay_ms: int = Field(default=1_000, ge=0)


class ServeSettings(_Section):
    """Where the API listens; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65_535)
    token: SecretStr | None = None  # asked for on every /v1 address when set; needed wherever it is not loopback


class DashboardSettings(_Section):
    """Where the dashboard listens; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = Field(default=8501, ge=0, le=65_535)


class Settings(BaseSettings):
    """All settings of one home. Unknown keys fail; `None` means off, never "the default"."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="TICKLOOP_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    profile: Literal["laptop"] = "laptop"
    home: Path = DEFAULT_HOME
    markets: tuple[str, ...] = ("KRW-BTC", "KRW-ETH")
    clock: Literal["system", "shared"] = "system"
    bot: str = "bot"
    exchange: ExchangeSettings = ExchangeSettings()
    collect: CollectSettings = CollectSettings()
    history: HistorySettings = HistorySettings()
    training: TrainingSettings = TrainingSettings()
    promotion: PromotionSettings = PromotionSettings()
    strategy: StrategySettings = StrategySettings()
    serve: ServeSettings = ServeSettings()
    dashboard: DashboardSettings = DashboardSettings()

    @field_validator("markets")
    @classmethod
    def _markets(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [market for market in value if not is_market(market)]
        if wrong or not value:
            raise ValueError(f"{wrong or value!r} is not a list of markets; valid: ['KRW-BTC', 'KRW-ETH']")
        return value

    @property
    def paths(self) -> HomePaths:
        return HomePaths(self.home.expanduser())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 (pydantic passes all sources by name)
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # The file comes in as init values; the environment overrides it, a command's own options override both.
        return env_settings, init_settings


@dataclass(frozen=True)
class HomePaths:
    """Where each part keeps its state below the home; nothing else on the machine is touched."""

    home: Path

    @property
    def clock(self) -> Path:
        return self.home / "sim" / "clock.json"

    @property
    def simulator(self) -> Path:
        return self.home / "sim"

    @property
    def journal(self) -> Path:
        return self.home / "journal"

    @property
    def dead_letters(self) -> Path:
        return self.home / "dead"

    @property
    def lake(self) -> Path:
        return self.home / "lake"

    @property
    def warehouse(self) -> Path:
        return self.home / "warehouse.sqlite"

    @property
    def registry(self) -> Path:
        return self.home / "mlflow.sqlite"

    @property
    def artifacts(self) -> Path:
        return self.home / "mlflow-artifacts"

    @property
    def locks(self) -> Path:
        return self.home / "locks"

    @property
    def status(self) -> Path:
        return self.home / "run"

    @property
    def logs(self) -> Path:
        return self.home / "log"

    def bot(self, name: str) -> Path:
        return self.home / "bots" / name


def load_settings(home: Path | None = None, **overrides: Any) -> Settings:
    """Read the settings of a home.

    Args:
        home: the folder of state; None takes TICKLOOP_HOME, else the default.
        overrides: values that win over file and environment, by top-level name.

    Raises:
        SettingsError: naming each key, its value and what would be valid.
    """
    try:
        folder = (home or Settings().home).expanduser()
        path = folder / SETTINGS_FILE
        values: dict[str, Any] = {}
        if path.is_file():
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        settings = Settings(**values)
        return settings.model_copy(update={**overrides, "home": folder})
    except tomllib.TOMLDecodeError as exc:
        raise SettingsError(f"{folder / SETTINGS_FILE} is not valid TOML: {exc}") from exc
    except ValidationError as exc:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in error['loc']) or 'settings'} = {error['input']!r}: {error['msg']}"
            for error in exc.errors()
            if "key" not in "".join(str(part) for part in error["loc"])
        )
        raise SettingsError(f"settings do not hold: {problems or 'a key is not valid'}") from exc
