"""The dashboard *Pipeline and system*: do runs end well, how long do they take, what is stored, is there room."""

from stack.grafana.panels import Dashboard, Panel, prom, sql

_DISKS = 'fstype!~"tmpfs|overlay|squashfs|ramfs|nsfs"'

DASHBOARD = Dashboard(
    uid="pipeline",
    title="Pipeline and system",
    about="Runs, data and the machine.",
    since="now-14d",
    refresh="1m",
    apps=True,
    rows=[
        (
            "Runs",
            [
                Panel(
                    "Since the last success",
                    "Time since a run of the pipeline ended well. Past twice the interval it is an alert.",
                    [prom("time() - max(pipeline_last_success_timestamp_seconds)")],
                    unit="s",
                    kind="stat",
                    width=4,
                    height=4,
                ),
                Panel(
                    "Expected every",
                    "operations.interval_hours of params.yaml.",
                    [prom("max(pipeline_interval_seconds)")],
                    unit="s",
                    kind="stat",
                    width=4,
                    height=4,
                ),
                Panel(
                    "Runs on record",
                    "By job and outcome, as far back as summaries are kept on disk (versions.retention.runs_days).",
                    [prom("max by (job, outcome) (pipeline_runs)", table=True)],
                    kind="table",
                    width=8,
                    height=4,
                ),
                Panel(
                    "Drift lasts, database behind",
                    "1 where drift has lasted drift.sustained_ticks ticks, and where the database misses runs.",
                    [
                        prom("max(pipeline_drift_sustained)", "drift lasts"),
                        prom("max(pipeline_facts_behind)", "database behind"),
                    ],
                    kind="stat",
                    width=8,
                    height=4,
                ),
                Panel(
                    "Runs by outcome",
                    "Runs that ended on each day, all jobs.",
                    [
                        sql("""
                            SELECT date_trunc('day', ended) AS time, outcome AS metric, count(*) AS value FROM facts.runs
                            WHERE $__timeFilter(ended) GROUP BY 1, 2 ORDER BY 1""")
                    ],
                    kind="bars",
                    stacked=True,
                    decimals=0,
                ),
                Panel(
                    "Duration",
                    "Of each run, by job.",
                    [
                        sql("""
                            SELECT ended AS time, job AS metric, duration_s AS value FROM facts.runs
                            WHERE $__timeFilter(ended) AND duration_s IS NOT NULL ORDER BY 1""")
                    ],
                    unit="s",
                    least=0,
                ),
                Panel(
                    "Time by stage",
                    "How long each stage of each run was at work, its last attempt.",
                    [
                        sql("""
                            SELECT ended AS time, stage AS metric, seconds AS value FROM facts.stages
                            JOIN facts.runs USING (run_id)
                            WHERE $__timeFilter(ended) AND seconds IS NOT NULL ORDER BY 1""")
                    ],
                    unit="s",
                    kind="bars",
                    stacked=True,
                    height=9,
                ),
                Panel(
                    "Last runs",
                    "The newest first, with the data version they worked on and, where one failed, the cause.",
                    [
                        sql(
                            """
                            SELECT ended, job, outcome, duration_s, trigger, dataset_version, cause, run_id
                            FROM facts.runs WHERE $__timeFilter(ended) ORDER BY ended DESC LIMIT 50""",
                            table=True,
                        )
                    ],
                    kind="table",
                    height=9,
                    units={"ended": "dateTimeAsIso", "duration_s": "s"},
                ),
            ],
        ),
        (
            "Data",
            [
                Panel(
                    "Reviews by app and month",
                    "Usable reviews by the month in which they were written, as they are stored now, two years back.",
                    [
                        sql("""
                            SELECT month::timestamptz AS time, app_id AS metric, validated AS value FROM facts.volumes
                            WHERE app_id IN ($app) AND $__timeFilter(month::timestamptz) ORDER BY 1""")
                    ],
                    since="2y",
                    kind="bars",
                    stacked=True,
                    decimals=0,
                ),
                Panel(
                    "Volumes by app",
                    "All months: collected, usable, in quarantine, deleted by their authors.",
                    [
                        sql(
                            """
                            SELECT app_id AS app, sum("raw") AS collected, sum(validated) AS usable,
                                sum(quarantined) AS quarantined, sum(deleted) AS deleted,
                                sum(quarantined)::float8 / nullif(sum("raw"), 0) AS quarantined_share,
                                min(month) AS first_month, max(month) AS last_month
                            FROM facts.volumes WHERE app_id IN ($app) GROUP BY 1 ORDER BY 2 DESC""",
                            table=True,
                        )
                    ],
                    kind="table",
                    units={"quarantined_share": "percentunit"},
                ),
                Panel(
                    "Share in quarantine",
                    "Of the reviews of each month; past validation.most_quarantined_percent no version is made.",
                    [
                        sql("""
                            SELECT month::timestamptz AS time, app_id AS metric,
                                quarantined::float8 / nullif("raw", 0) AS value
                            FROM facts.volumes WHERE app_id IN ($app) AND $__timeFilter(month::timestamptz) ORDER BY 1""")
                    ],
                    since="2y",
                    unit="percentunit",
                    least=0,
                    decimals=1,
                ),
                Panel(
                    "Quarantine by reason",
                    "All months; a review with two reasons counts for both.",
                    [
                        sql(
                            """
                            SELECT app_id AS app, reason, sum(reviews) AS reviews, max(month) AS last_month
                            FROM facts.quarantine WHERE app_id IN ($app) GROUP BY 1, 2 ORDER BY 3 DESC""",
                            table=True,
                        )
                    ],
                    kind="table",
                ),
            ],
        ),
        (
            "Machine",
            [
                Panel(
                    "CPU",
                    "Share of all cores at work, by kind of work.",
                    [
                        prom(
                            'sum by (mode) (rate(node_cpu_seconds_total{mode!="idle"}[$__rate_interval])) '
                            "/ scalar(count(count by (cpu) (node_cpu_seconds_total)))",
                            "{{mode}}",
                        )
                    ],
                    unit="percentunit",
                    least=0,
                    stacked=True,
                    width=8,
                ),
                Panel(
                    "Memory",
                    "Of the machine; what is not available is in use.",
                    [
                        prom("node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes", "in use"),
                        prom("node_memory_MemTotal_bytes", "total"),
                    ],
                    unit="bytes",
                    least=0,
                    width=8,
                ),
                Panel(
                    "Disk in use",
                    "Share of each file system; from 90 % on it is an alert.",
                    [
                        prom(
                            f"1 - min by (device) (node_filesystem_avail_bytes{{{_DISKS}}} "
                            f"/ node_filesystem_size_bytes{{{_DISKS}}})",
                            "{{device}}",
                        )
                    ],
                    unit="percentunit",
                    least=0,
                    most=1,
                    width=8,
                ),
                Panel(
                    "Memory of the service",
                    "Resident memory of what Prometheus scrapes, by job.",
                    [prom("sum by (job) (process_resident_memory_bytes)", "{{job}}")],
                    unit="bytes",
                    least=0,
                ),
                Panel(
                    "Scrapes",
                    "1 where Prometheus reaches the target, 0 where not.",
                    [prom("min by (job) (up)", "{{job}}")],
                    least=0,
                    most=1,
                    decimals=0,
                ),
            ],
        ),
    ],
)
