"""The tables of the dashboards, as numbered migrations: each runs once, in order, and is never edited afterwards.

They live in the schema `facts`, apart from Dagster's own tables; the service's `predictions` and `feedback` are in
`public`, as the server makes them.
"""

from mlops_assets.serving.log.prediction_store import CREATE

VERSIONS = (
    "CREATE SCHEMA IF NOT EXISTS facts",
    "CREATE TABLE IF NOT EXISTS facts.schema_version "
    "(version INTEGER PRIMARY KEY, applied_at TIMESTAMPTZ NOT NULL DEFAULT now())",
)
"""What the migrations themselves need."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE facts.runs (run_id TEXT PRIMARY KEY, digest TEXT NOT NULL, job TEXT NOT NULL, "
        "trigger TEXT NOT NULL, outcome TEXT NOT NULL, started TIMESTAMPTZ, ended TIMESTAMPTZ, "
        "duration_s DOUBLE PRECISION, dataset_version TEXT, cause TEXT)",
        "CREATE INDEX runs_ended ON facts.runs (ended)",
        "CREATE TABLE facts.stages (run_id TEXT NOT NULL REFERENCES facts.runs ON DELETE CASCADE, "
        "stage TEXT NOT NULL, status TEXT NOT NULL, seconds DOUBLE PRECISION, reason TEXT NOT NULL, "
        "PRIMARY KEY (run_id, stage))",
        "CREATE TABLE facts.scores (run_id TEXT NOT NULL REFERENCES facts.runs ON DELETE CASCADE, at TIMESTAMPTZ, "
        "kind TEXT NOT NULL, side TEXT NOT NULL, model_version TEXT NOT NULL, dataset_version TEXT NOT NULL, "
        "n INTEGER NOT NULL, accuracy DOUBLE PRECISION, accuracy_low DOUBLE PRECISION, accuracy_high DOUBLE PRECISION, "
        "macro_f1 DOUBLE PRECISION, macro_f1_low DOUBLE PRECISION, macro_f1_high DOUBLE PRECISION, "
        "champion BOOLEAN NOT NULL, PRIMARY KEY (run_id, kind, side))",
        "CREATE INDEX scores_at ON facts.scores (at)",
        "CREATE TABLE facts.deployments (at TIMESTAMPTZ NOT NULL, target TEXT NOT NULL, "
        "release_version TEXT NOT NULL, model_version TEXT NOT NULL, dataset_version TEXT NOT NULL, "
        "caused_by TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL, image TEXT NOT NULL, "
        "PRIMARY KEY (at, release_version, outcome))",
        # What served from when to when; until is empty for what serves now.
        "CREATE VIEW facts.served AS SELECT * FROM (SELECT at, lead(at) OVER (ORDER BY at) AS until, release_version, "
        "model_version, dataset_version, caused_by, target, outcome FROM facts.deployments "
        "WHERE outcome IN ('live', 'stopped')) AS changes WHERE outcome = 'live'",
        'CREATE TABLE facts.drift_ticks (at TIMESTAMPTZ NOT NULL, "of" TEXT NOT NULL, model_version TEXT NOT NULL, '
        'drifted BOOLEAN NOT NULL, features TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (at, "of"))',
        'CREATE TABLE facts.drift (at TIMESTAMPTZ NOT NULL, "of" TEXT NOT NULL, feature TEXT NOT NULL, '
        "effect DOUBLE PRECISION NOT NULL, floor DOUBLE PRECISION NOT NULL, p DOUBLE PRECISION NOT NULL, "
        'drifted BOOLEAN NOT NULL, PRIMARY KEY (at, "of", feature))',
        'CREATE TABLE facts.volumes (app_id TEXT NOT NULL, month DATE NOT NULL, "raw" INTEGER NOT NULL, '
        "deleted INTEGER NOT NULL, validated INTEGER NOT NULL, quarantined INTEGER NOT NULL, "
        "PRIMARY KEY (app_id, month))",
        "CREATE TABLE facts.quarantine (app_id TEXT NOT NULL, month DATE NOT NULL, reason TEXT NOT NULL, "
        "reviews INTEGER NOT NULL, PRIMARY KEY (app_id, month, reason))",
        "CREATE TABLE facts.reviews (app_id TEXT NOT NULL, review_id TEXT NOT NULL, app_version TEXT, "
        "at TIMESTAMPTZ NOT NULL, month DATE NOT NULL, rating INTEGER, sentiment TEXT, confidence DOUBLE PRECISION, "
        'model_version TEXT, "text" TEXT, PRIMARY KEY (app_id, review_id))',
        "CREATE INDEX reviews_at ON facts.reviews (at)",
        "CREATE TABLE facts.synced (part TEXT PRIMARY KEY, digest TEXT NOT NULL, "
        "at TIMESTAMPTZ NOT NULL DEFAULT now())",
        # The server makes these with its first prediction; a dashboard must not fail before that.
        *CREATE,
    ),
)

READER = "reader"
"""The role of Grafana where the database has it: a viewer of a dashboard can send any query of its own, so the role can
only read.
"""

READER_SEES = (
    f"GRANT USAGE ON SCHEMA facts TO {READER}",
    f"GRANT SELECT ON ALL TABLES IN SCHEMA facts TO {READER}",
    f"ALTER DEFAULT PRIVILEGES IN SCHEMA facts GRANT SELECT ON TABLES TO {READER}",
    # Of requests not the text, nor who asked.
    f"REVOKE ALL ON predictions FROM {READER}",
    f"GRANT SELECT (request_id, at, sentiment, confidence, characters, model_version, dataset_version) "
    f"ON predictions TO {READER}",
    f"REVOKE ALL ON feedback FROM {READER}",
    f"GRANT SELECT (request_id, at, label) ON feedback TO {READER}",
)
