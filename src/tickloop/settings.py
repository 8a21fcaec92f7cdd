"""Typed settings, read once by `bootstrap`: defaults, then `tickloop.toml` in the home, then `TICKLOOP_*`."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tickloop.domain.market import is_market
from tickloop.errors import SettingsError

DEFAULT_HOME = Path("~/.local/share/tickloop/main")
SETTINGS_FILE = "tickloop.toml"

SECRETS = ("_key", "token", "password", "webhook_url")
"""How the names of settings end whose values are never shown."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ExchangeSettings(_Section):
    """Where the exchange is, and the keys of an account on it."""

    rest_url: str = Field(default="https://api.upbit.com", description="address of the REST API")
    websocket_url: str = Field(default="wss://api.upbit.com/websocket/v1", description="address of the public stream")
    access_key: SecretStr | None = Field(default=None, description="access key; needed by `trade` alone")
    secret_key: SecretStr | None = Field(default=None, description="secret key; never shown")
    keys_file: Path | None = Field(
        default=None, description="TOML or JSON file with access_key and secret_key that only its owner can read"
    )
    is_path_invented: bool | None = Field(
        default=None,
        description="the exchange makes its trades from candles; when absent, one on this machine is taken to do so",
    )

    @property
    def is_on_this_machine(self) -> bool:
        return urlsplit(self.rest_url).hostname in LOOPBACK

    @property
    def makes_its_path(self) -> bool:
        """Tell whether its trades may be made up: of a simulator that nobody vouches for, they are."""
        return self.is_on_this_machine if self.is_path_invented is None else self.is_path_invented


class CollectSettings(_Section):
    """The collector: what it subscribes to and how it writes."""

    sync_interval_s: float = Field(
        default=0.25, gt=0, le=10, description="longest time until a message is on disk, seconds"
    )
    segment_bytes: int = Field(default=64_000_000, ge=1_000, description="size at which a journal segment ends")
    queue_frames: int = Field(
        default=100_000, ge=100, description="messages held in memory; when full the stream is not read"
    )
    min_free_bytes: int = Field(
        default=50_000_000, ge=0, description="free space below which nothing is taken in until there is more"
    )
    with_orderbook: bool = Field(default=False, description="subscribe to the order book too")
    with_candles: bool = Field(default=False, description="subscribe to the candles of one second too")
    universe: Literal["markets", "krw"] = Field(
        default="markets", description="markets: those of `markets`; krw: every KRW market on offer, and those"
    )
    market_check_s: float = Field(
        default=60.0, ge=1, description="market seconds between two looks at which markets are on offer"
    )
    codes_per_connection: int = Field(default=100, ge=1, le=1_000, description="markets on one connection")
    idle_s: float = Field(
        default=60.0,
        gt=0,
        description="seconds of silence after which a connection is given up; grows where it is quiet",
    )


class AlertSettings(_Section):
    """Who is told when collection needs a hand, besides the log."""

    webhook_url: SecretStr | None = Field(
        default=None, description="address that gets each alert as JSON by POST; never shown"
    )
    stream_down_s: float = Field(default=60.0, gt=0, description="seconds without a message that are told")
    dead_per_minute: int = Field(default=10, ge=1, description="unreadable messages within a minute that are told")


class HistorySettings(_Section):
    """How far back bars are fetched before the first start, and how."""

    backfill_days: int = Field(default=14, ge=0, le=400, description="days of bars; 0 is none")
    parallel: int = Field(default=4, ge=1, le=16, description="markets fetched at a time, within the rate limits")


class TrainingSettings(_Section):
    """Slots, data lengths and candidates."""

    slot_hours: int = Field(default=6, ge=1, le=168, description="hours between two trainings")
    training_hours: int = Field(default=288, ge=24, description="length of the training data before the gate")
    gate_hours: int = Field(
        default=48, ge=1, description="last hours of the data, never trained on: champion against challengers"
    )
    families: tuple[str, ...] = Field(default=("ridge", "lightgbm"), description="model families tried in every slot")
    feature_set: str = Field(default="bar", description="feature set of the candidates")
    seed: int = Field(default=20240122, description="seed of every fit")


class PromotionSettings(_Section):
    """The rule by which a challenger replaces the champion."""

    metric: Literal["mae_bp", "profit_krw"] = Field(
        default="mae_bp", description="mae_bp, or profit_krw of the preset default"
    )
    optimize: Literal["minimize", "maximize"] = Field(
        default="minimize", description="minimize mae_bp, maximize profit_krw"
    )
    min_improvement: float = Field(default=0.0, ge=0, description="a challenger must be better by more than this")
    max_bias_bp: float = Field(default=2.0, gt=0, description="a challenger whose mean error is larger is not promoted")

    @model_validator(mode="after")
    def _direction(self) -> Self:
        right = "maximize" if self.metric == "profit_krw" else "minimize"
        if self.optimize != right:
            raise ValueError(f"optimize {self.optimize!r} would promote the worst by {self.metric}; valid: {right!r}")
        return self


class StrategySettings(_Section):
    """What the bot trades and by which preset."""

    preset: Literal["default", "seed2023"] = Field(
        default="default", description="default, or seed2023 (it loses: see docs)"
    )
    order_notional: Decimal | None = Field(
        default=None, gt=0, description="KRW of one buy; the preset's own when absent"
    )
    budget: Decimal = Field(default=Decimal(50_000), gt=0, description="KRW that the bot may use")
    forecast_delay_ms: int = Field(
        default=1_000, ge=0, description="a minute's forecast is used from this long after its start"
    )
    keep_sessions_days: int = Field(
        default=30, ge=1, description="days after which a session of the bot, kept for `backtest --replay`, is deleted"
    )


class ServeSettings(_Section):
    """Where the API listens."""

    host: str = Field(default="127.0.0.1", description="address; anything but loopback needs a token")
    port: int = Field(default=8000, ge=0, le=65_535, description="port; 0 takes a free one")
    token: SecretStr | None = Field(default=None, description="asked for on every /v1 address when set")

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if self.host not in LOOPBACK and self.token is None:
            raise ValueError(f"host {self.host!r} is open to others and token is not set; valid: a token, or 127.0.0.1")
        return self


class DashboardSettings(_Section):
    """Where the pages are served."""

    host: str = Field(default="127.0.0.1", description="address; the pages ask for no password, so keep it loopback")
    port: int = Field(default=8501, ge=1, le=65_535, description="port")


class OpensearchSettings(_Section):
    """The raw event store of the cluster profile."""

    url: str = Field(default="http://127.0.0.1:9200", description="address of OpenSearch, https in a cluster")
    user: str | None = Field(default=None, description="user; none where security is off")
    password: SecretStr | None = Field(default=None, description="password of the user; never shown")
    ca_file: Path | None = Field(default=None, description="certificate of the authority that signed the server's")
    index_prefix: str = Field(
        default="tickloop", pattern=r"^[a-z][a-z0-9-]{0,60}$", description="how the names of our indices begin"
    )
    timeout_s: float = Field(default=30.0, gt=0, le=600, description="seconds until a request is given up")
    keep_days: int = Field(default=30, ge=1, description="days after which the index of a day is deleted")


class PostgresSettings(_Section):
    """The warehouse of the cluster profile."""

    host: str = Field(default="127.0.0.1", description="address of PostgreSQL, or the folder of its socket")
    port: int = Field(default=5432, ge=1, le=65_535, description="port")
    database: str = Field(default="tickloop", description="database")
    user: str = Field(default="tickloop", description="user; it owns the tables and nothing else")
    password: SecretStr | None = Field(default=None, description="password of the user; never shown")
    sslmode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = Field(
        default="prefer", description="as libpq means it; verify-full in a cluster"
    )
    ca_file: Path | None = Field(default=None, description="certificate of the authority that signed the server's")
    connect_timeout_s: int = Field(default=10, ge=1, le=600, description="seconds until a connection is given up")


class S3Settings(_Section):
    """The lake of the cluster profile."""

    endpoint: str | None = Field(default=None, description="address of the S3 server; none is Amazon's own")
    region: str = Field(default="us-east-1", description="region of the bucket")
    bucket: str = Field(default="tickloop", min_length=3, max_length=63, description="bucket of the lake")
    prefix: str = Field(default="lake", description="folder in the bucket")
    access_key: SecretStr | None = Field(default=None, description="access key; never shown")
    secret_key: SecretStr | None = Field(default=None, description="secret key; never shown")
    ca_file: Path | None = Field(default=None, description="certificate of the authority that signed the server's")
    timeout_s: float = Field(default=30.0, gt=0, le=600, description="seconds until a request is given up")


class MlflowSettings(_Section):
    """Experiments and registry of the cluster profile."""

    url: str = Field(default="http://127.0.0.1:5000", description="address of the MLflow server")
    user: str | None = Field(default=None, description="user; none where the server asks for none")
    password: SecretStr | None = Field(default=None, description="password of the user; never shown")
    ca_file: Path | None = Field(default=None, description="certificate of the authority that signed the server's")
    prefix: str = Field(
        default="tickloop",
        pattern=r"^[a-z][a-z0-9-]{0,60}$",
        description="how the names of our experiments and models begin",
    )
    timeout_s: float = Field(default=30.0, gt=0, le=600, description="seconds until a request is given up")


class AirflowSettings(_Section):
    """How Airflow runs our DAGs; read when it reads the DAG files."""

    train_executor: str | None = Field(
        default=None,
        description="executor of the tasks that train, such as KubernetesExecutor; none is Airflow's first",
    )
    train_pod_template: Path | None = Field(
        default=None, description="pod template of the tasks that train; none is Airflow's own"
    )


class Settings(BaseSettings):
    """All settings of one home. Unknown keys fail; `None` means off, never "the default"."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="TICKLOOP_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    profile: Literal["laptop", "cluster"] = Field(
        default="laptop", description="which adapters stand behind the ports: files, or servers"
    )
    home: Path = Field(default=DEFAULT_HOME, description="folder of all state")
    markets: tuple[str, ...] = Field(
        default=("KRW-BTC", "KRW-ETH"), description="markets to collect, forecast and trade"
    )
    clock: Literal["system", "shared", "stepped"] = Field(
        default="system",
        description="shared: the simulator's market clock in this home; stepped: the same, and it waits for us",
    )
    bot: str = Field(default="bot", pattern=r"^[a-z0-9]{1,16}$", description="name of the bot, part of its order ids")
    exchange: ExchangeSettings = ExchangeSettings()
    collect: CollectSettings = CollectSettings()
    alerts: AlertSettings = AlertSettings()
    history: HistorySettings = HistorySettings()
    training: TrainingSettings = TrainingSettings()
    promotion: PromotionSettings = PromotionSettings()
    strategy: StrategySettings = StrategySettings()
    serve: ServeSettings = ServeSettings()
    dashboard: DashboardSettings = DashboardSettings()
    opensearch: OpensearchSettings = OpensearchSettings()
    postgres: PostgresSettings = PostgresSettings()
    s3: S3Settings = S3Settings()
    mlflow: MlflowSettings = MlflowSettings()
    airflow: AirflowSettings = AirflowSettings()

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
    def ship(self) -> Path:
        """Give the folder of what a delivery of the journal remembers."""
        return self.home / "ship"

    @property
    def fluentd(self) -> Path:
        """Give the folder of fluentd's positions and buffers."""
        return self.ship / "fluentd"

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

    def budgets(self, rest_url: str, access_key: str = "") -> Path:
        """Give the folder of request budgets that all processes of one account, or of this machine, share."""
        host = re.sub(r"[^A-Za-z0-9.-]", "_", urlsplit(rest_url).netloc)
        whose = hashlib.sha256(access_key.encode()).hexdigest()[:8] if access_key else "ip"
        return self.home / "run" / "budget" / f"{host}-{whose}"

    @property
    def status(self) -> Path:
        return self.home / "run"

    @property
    def logs(self) -> Path:
        return self.home / "log"

    @property
    def bots(self) -> Path:
        return self.home / "bots"

    def bot(self, name: str) -> Path:
        return self.bots / name


class _Keys(BaseModel):
    model_config = ConfigDict(extra="forbid")

    access_key: SecretStr
    secret_key: SecretStr


def account_keys(exchange: ExchangeSettings) -> tuple[str, str]:
    """Give access key and secret key, from the settings or from the file that they name.

    Raises:
        SettingsError: there are none, or others can read the file, or it holds something else; no key is in the text.
    """
    if exchange.access_key is not None and exchange.secret_key is not None:
        return exchange.access_key.get_secret_value(), exchange.secret_key.get_secret_value()
    if exchange.keys_file is None:
        raise SettingsError(
            "exchange.access_key and exchange.secret_key are not set; valid: the keys of an account, by"
            " TICKLOOP_EXCHANGE__ACCESS_KEY and TICKLOOP_EXCHANGE__SECRET_KEY, or exchange.keys_file"
        )
    keys = _read_keys(exchange.keys_file.expanduser())
    return keys.access_key.get_secret_value(), keys.secret_key.get_secret_value()


def _read_keys(path: Path) -> _Keys:
    try:
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            raise SettingsError(f"exchange.keys_file {path} can be read by others (mode {mode:o}); valid: chmod 600")
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        return _Keys.model_validate(values)
    except OSError as exc:
        raise SettingsError(f"exchange.keys_file {path} cannot be read: {exc.strerror}") from exc
    except ValueError:  # also of TOML, JSON and pydantic, whose own texts show what stands there
        raise SettingsError(
            f"exchange.keys_file {path} holds no keys; valid: access_key and secret_key, as TOML, or as JSON in a .json"
        ) from None


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
        problems = "; ".join(_problem(error["loc"], error["input"], error["msg"]) for error in exc.errors())
        raise SettingsError(f"settings do not hold: {problems}") from None  # its own text shows values, secrets too


def _problem(location: tuple[int | str, ...], value: object, message: str) -> str:
    """Say what is wrong with one key; neither a secret nor a whole section, which may hold one, is shown."""
    name = ".".join(str(part) for part in location) or "settings"
    is_shown = not (name.endswith(SECRETS) or isinstance(value, Mapping | BaseModel))
    return f"{name} = {value!r}: {message}" if is_shown else f"{name}: {message}"


def settings_text() -> str:
    """Give a `tickloop.toml` with every setting at its default, each commented out and described."""
    lines = ["# Settings of Tickloop. Remove the # of a line to change it. TICKLOOP_SECTION__NAME overrides it.", ""]
    sections: list[str] = []
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, BaseModel):
            section = type(field.default)
            sections += ["", f"# {(section.__doc__ or '').splitlines()[0]}", f"[{name}]"]
            sections += [_line(key, one.default, one.description) for key, one in section.model_fields.items()]
        elif name != "home":
            lines.append(_line(name, field.default, field.description))
    return "\n".join([*lines, *sections, ""])


def _line(name: str, default: object, description: str | None) -> str:
    return f"# {name} = {toml_value(default)}  # {description}"


def toml_value(value: object) -> str:
    """Give a setting as TOML; an absent one as empty text, which only stands in comments."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(toml_value(one) for one in value) + "]"
    return str(value) if isinstance(value, int | float | Decimal) else f'"{value or ""}"'
