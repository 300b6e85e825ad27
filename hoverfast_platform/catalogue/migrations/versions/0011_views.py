"""Views that answer the questions of docs/catalogue.md without a look into JSON."""

from alembic import op

revision = "0011_views"
down_revision = "0010_true_record"

_VIEWS = {
    "newest_results": """
        SELECT c.*
        FROM current_results c
        WHERE c.until IS NULL AND NOT EXISTS (
            SELECT 1 FROM current_results d
            WHERE d.slide_id = c.slide_id AND d.until IS NULL
              AND (d.since > c.since OR (d.since = c.since AND d.id > c.id)))
    """,
    "slide_results": """
        SELECT s.key AS slide, s.sha256 AS slide_sha256, c.scope, c.staining,
               g.segmentation_id, g.n_nuclei, k.tissue_area_mm2, k.engine AS mask_engine,
               k.sha256 AS mask_sha256, m.name AS model, m.version AS model_version,
               m.sha256 AS model_sha256, g.run_id, c.since, c.until,
               CASE WHEN n.id IS NULL THEN 0 ELSE 1 END AS is_current
        FROM current_results c
        JOIN slides s ON s.id = c.slide_id
        JOIN segmentations g ON g.id = c.segmentation_row_id
        JOIN masks k ON k.id = g.mask_id
        JOIN model_versions m ON m.id = g.model_version_id
        LEFT JOIN newest_results n ON n.id = c.id
    """,
    "model_ancestry": """
        WITH RECURSIVE up (model_version_id, ancestor_id, how, n_steps) AS (
            SELECT model_version_id, ancestor_id, how, 1 FROM model_descent
            UNION
            SELECT up.model_version_id, d.ancestor_id, d.how, up.n_steps + 1
            FROM up JOIN model_descent d ON d.model_version_id = up.ancestor_id
            WHERE up.n_steps < 100)
        SELECT m.name AS model, m.version AS model_version, m.sha256 AS model_sha256,
               a.name AS ancestor, a.version AS ancestor_version, a.sha256 AS ancestor_sha256,
               MIN(up.how) AS how, MIN(up.n_steps) AS n_steps
        FROM up
        JOIN model_versions m ON m.id = up.model_version_id
        JOIN model_versions a ON a.id = up.ancestor_id
        GROUP BY m.name, m.version, m.sha256, a.name, a.version, a.sha256
    """,
    "model_family": """
        SELECT sha256 AS ancestor_sha256, name AS ancestor, sha256 AS model_sha256, 0 AS n_steps
        FROM model_versions
        UNION ALL
        SELECT ancestor_sha256, ancestor, model_sha256, n_steps FROM model_ancestry
    """,
    "model_licences": """
        SELECT m.name AS model, m.version AS model_version, m.sha256 AS model_sha256,
               l.name AS labels, l.licence, l.citation, l.digest AS labels_digest,
               MIN(f.n_steps) AS n_steps
        FROM model_family f
        JOIN model_versions m ON m.sha256 = f.model_sha256
        JOIN model_versions a ON a.sha256 = f.ancestor_sha256
        JOIN model_labels u ON u.model_version_id = a.id
        JOIN label_sets l ON l.id = u.label_set_id
        GROUP BY m.name, m.version, m.sha256, l.name, l.licence, l.citation, l.digest
    """,
    "model_training": """
        SELECT m.name AS model, m.version AS model_version, m.sha256 AS model_sha256,
               t.name AS training_set, t.digest AS training_set_digest, t.teacher,
               v.name AS cohort, v.version AS cohort_version, t.run_id AS labelling_run_id,
               m.run_id AS training_run_id
        FROM model_versions m
        JOIN model_training_sets mt ON mt.model_version_id = m.id
        JOIN training_sets t ON t.id = mt.training_set_id
        LEFT JOIN cohort_versions v ON v.id = t.cohort_version_id
    """,
    "slides_of_model_family": """
        SELECT f.ancestor AS model, f.ancestor_sha256 AS model_sha256, r.slide, r.is_current,
               r.model AS made_by, r.model_version AS made_by_version, f.n_steps,
               r.segmentation_id
        FROM model_family f JOIN slide_results r ON r.model_sha256 = f.model_sha256
    """,
    "slides_of_labels": """
        SELECT l.labels, l.licence, l.labels_digest, r.slide, r.model AS made_by,
               r.model_version AS made_by_version, r.segmentation_id
        FROM model_licences l JOIN slide_results r ON r.model_sha256 = l.model_sha256
        WHERE r.is_current = 1
    """,
    "result_changes": """
        SELECT s.key AS slide, b.since AS at, o.segmentation_id AS before_id,
               n.segmentation_id AS after_id, o.n_nuclei AS n_nuclei_before,
               n.n_nuclei AS n_nuclei_after, n.n_nuclei - o.n_nuclei AS n_nuclei_more,
               mo.name AS model_before, mo.version AS model_version_before,
               mn.name AS model_after, mn.version AS model_version_after,
               CASE WHEN o.mask_id = n.mask_id THEN 0 ELSE 1 END AS is_other_mask,
               CASE WHEN a.settings_digest = b.settings_digest THEN 0 ELSE 1 END
                   AS is_other_settings
        FROM current_results b
        JOIN current_results a ON a.id = (
            SELECT MAX(p.id) FROM current_results p WHERE p.slide_id = b.slide_id AND p.id < b.id)
        JOIN slides s ON s.id = b.slide_id
        JOIN segmentations o ON o.id = a.segmentation_row_id
        JOIN segmentations n ON n.id = b.segmentation_row_id
        JOIN model_versions mo ON mo.id = o.model_version_id
        JOIN model_versions mn ON mn.id = n.model_version_id
    """,
    "promotions": """
        SELECT t.scope, m.name AS model, m.version AS model_version, m.sha256 AS model_sha256,
               t.reason, t.entered_at AS since, t.left_at AS until
        FROM model_stages t JOIN model_versions m ON m.id = t.model_version_id
        WHERE t.stage = 'promoted'
    """,
    "cohort_slides": """
        SELECT v.name AS cohort, v.version AS cohort_version, s.key AS slide, c.patient,
               m.name AS model, m.version AS model_version
        FROM cohort_members c
        JOIN cohort_versions v ON v.id = c.cohort_version_id
        JOIN slides s ON s.id = c.slide_id
        LEFT JOIN training_sets t ON t.cohort_version_id = v.id
        LEFT JOIN model_training_sets mt ON mt.training_set_id = t.id
        LEFT JOIN model_versions m ON m.id = mt.model_version_id
    """,
    "open_failures": """
        SELECT s.key AS slide, f.cohort, f.step, f.kind, f.message, f.remedy, f.run_id, f.at
        FROM failures f
        LEFT JOIN slides s ON s.id = f.slide_id
        WHERE f.id = (SELECT MAX(g.id) FROM failures g
                      WHERE (g.slide_id = f.slide_id OR (g.slide_id IS NULL
                             AND f.slide_id IS NULL AND g.cohort = f.cohort)
                             OR g.path = f.path))
          AND NOT EXISTS (SELECT 1 FROM segmentations d
                          WHERE d.slide_id = f.slide_id AND d.finished_at > f.at)
          AND NOT EXISTS (SELECT 1 FROM cohort_versions v
                          LEFT JOIN training_sets t ON t.cohort_version_id = v.id
                          WHERE v.name = f.cohort
                            AND (v.created_at > f.at
                                 OR (f.step = 'teacher_labels' AND t.made_at > f.at)))
    """,
}
"""Name to query, those that others ask first."""


def upgrade() -> None:
    for name, query in _VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query}")


def downgrade() -> None:
    for name in reversed(_VIEWS):
        op.execute(f"DROP VIEW {name}")
