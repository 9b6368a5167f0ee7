"""Django's settings; every one that a person may set is documented in `.env.example`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from connector.embedded_redis import embedded_url
from connector.environment import BASE_DIR, read_env

env = read_env()


def _required(name: str) -> str:
    value: str = env.str(name, "")
    if not value:
        raise ImproperlyConfigured(
            f"{name} is not set: run `python manage.py migrate` once, or set it (see .env.example)"
        )
    return value


#: Which process this is: web, worker, beat, or command (everything else). Set by the supervisor.
ROLE = os.environ.get("CONNECTOR_ROLE", "command")
SECRET_KEY = _required("SECRET_KEY")
ENCRYPTION_KEYS = [key.strip() for key in _required("ENCRYPTION_KEYS").split(",") if key.strip()]
DEBUG = env.bool("DEBUG", False)
PUBLIC_URL: str = env.str("PUBLIC_URL", "http://127.0.0.1:8000").rstrip("/")
_public = urlsplit(PUBLIC_URL)
ALLOWED_HOSTS = env.list(
    "ALLOWED_HOSTS", default=sorted({_public.hostname or "localhost", "127.0.0.1", "localhost", "[::1]"})
)
CSRF_TRUSTED_ORIGINS = [f"{_public.scheme}://{_public.netloc}"]
VAR_DIR = Path(env.str("VAR_DIR", str(BASE_DIR / "var"))).resolve()
REDIS_URL: str = env.str("REDIS_URL", "") or embedded_url(VAR_DIR)

# --- pace, patience, retention (contract: environment) -----------------------------------------------------------
SLACK_SPACING_SECONDS = max(1.0, env.float("SLACK_SPACING_SECONDS", 1.05))
RETRY_BASE_SECONDS = env.float("RETRY_BASE_SECONDS", 2.0)
RETRY_CAP_SECONDS = env.float("RETRY_CAP_SECONDS", 900.0)
RETRY_MAX_AGE_SECONDS = env.float("RETRY_MAX_AGE_SECONDS", 86400.0)
SWEEP_SECONDS = env.float("SWEEP_SECONDS", 5.0)
DELIVERY_LEASE_SECONDS = env.float("DELIVERY_LEASE_SECONDS", 60.0)
HTTP_TIMEOUT_SECONDS = env.float("HTTP_TIMEOUT_SECONDS", 15.0)
RETENTION_DAYS = env.int("RETENTION_DAYS", 400)
if DELIVERY_LEASE_SECONDS <= 2 * HTTP_TIMEOUT_SECONDS:
    raise ImproperlyConfigured("DELIVERY_LEASE_SECONDS must be more than twice HTTP_TIMEOUT_SECONDS")

# --- database ----------------------------------------------------------------------------------------------------
_busy_ms = 2500 if ROLE == "web" else 20000
DATABASES: dict[str, dict[str, Any]] = {
    "default": env.db("DATABASE_URL", default=f"sqlite:///{VAR_DIR / 'connector.sqlite3'}")
}
_database = DATABASES["default"]
if _database["ENGINE"].endswith("sqlite3"):
    _database["OPTIONS"] = {
        "timeout": _busy_ms / 1000,
        # A read that becomes a write fails at once in WAL; IMMEDIATE waits instead.
        "transaction_mode": "IMMEDIATE",
        # FULL: a 200 to a vendor means "stored" even after power loss.
        "init_command": (
            f"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout={_busy_ms}; PRAGMA foreign_keys=ON;"
        ),
    }
else:
    _database.setdefault("OPTIONS", {}).setdefault("connect_timeout", 2 if ROLE == "web" else 5)
_database["CONN_MAX_AGE"] = 300
_database["CONN_HEALTH_CHECKS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- web ---------------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "connector.apps.ConnectorConfig",
    "connector.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "django_otp",
    "django_otp.plugins.otp_totp",
]
MIDDLEWARE = [
    "connector.middleware.BodyLimit",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "connector.middleware.ContentSecurity",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "connector.middleware.SecondFactor",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "connector.urls"
WSGI_APPLICATION = "connector.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True
# Messages may name a company: they travel in a signed cookie rather than lie in the session table.
MESSAGE_STORAGE = "django.contrib.messages.storage.cookie.CookieStorage"
LOGIN_URL = "admin:login"
# The middleware refuses larger bodies by path; Django's own limit must not come first with its 400.
DATA_UPLOAD_MAX_MEMORY_SIZE = 33 * 1024 * 1024
DEFAULT_EXCEPTION_REPORTER_FILTER = "connector.logs.ExceptionReporterFilter"

IS_SECURE = _public.scheme == "https"
SECURE_SSL_REDIRECT = IS_SECURE
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = 31536000 if IS_SECURE else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = IS_SECURE
SECURE_HSTS_PRELOAD = IS_SECURE
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_SECURE
# Lax: the vendor's redirect back to our callback must bring the session along.
SESSION_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"

# --- logs --------------------------------------------------------------------------------------------------------
LOG_FORMAT = env.str("LOG_FORMAT", "console")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"redact": {"()": "connector.logs.Redact"}, "no_probes": {"()": "connector.logs.NoProbes"}},
    "formatters": {
        "json": {"()": "connector.logs.JsonFormatter"},
        "console": {"()": "connector.logs.ConsoleFormatter"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "filters": ["redact"], "formatter": LOG_FORMAT}},
    "root": {"handlers": ["stderr"], "level": env.str("LOG_LEVEL", "INFO")},
    "loggers": {
        "django": {"level": "INFO", "handlers": [], "propagate": True},
        "django.server": {"level": "WARNING", "handlers": [], "propagate": True},
        "django.security": {"level": "ERROR"},
        "django.request": {"filters": ["no_probes"]},
        "celery": {"level": "INFO"},
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        "kombu": {"level": "WARNING"},
        "urllib3": {"level": "WARNING"},
        "slack_sdk": {"level": "WARNING"},
    },
}
