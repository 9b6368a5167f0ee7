"""The audit trail is append-only in the database itself, on SQLite and PostgreSQL."""

from django.db import migrations

TABLE = "connector_auditentry"


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            "CREATE OR REPLACE FUNCTION connector_audit_is_append_only() RETURNS trigger AS $$ "
            "BEGIN RAISE EXCEPTION 'the audit trail is append-only'; END $$ LANGUAGE plpgsql"
        )
        schema_editor.execute(
            f"CREATE TRIGGER connector_audit_keep BEFORE UPDATE OR DELETE ON {TABLE} "
            "FOR EACH ROW EXECUTE FUNCTION connector_audit_is_append_only()"
        )
    else:
        for verb in ("UPDATE", "DELETE"):
            schema_editor.execute(
                f"CREATE TRIGGER connector_audit_keep_{verb.lower()} BEFORE {verb} ON {TABLE} "
                "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
            )


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"DROP TRIGGER IF EXISTS connector_audit_keep ON {TABLE}")
        schema_editor.execute("DROP FUNCTION IF EXISTS connector_audit_is_append_only()")
    else:
        for verb in ("update", "delete"):
            schema_editor.execute(f"DROP TRIGGER IF EXISTS connector_audit_keep_{verb}")


class Migration(migrations.Migration):
    dependencies = [("connector", "0001_initial")]
    operations = [migrations.RunPython(create, drop)]
