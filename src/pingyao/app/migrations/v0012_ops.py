"""What the console counts and searches by, kept beside the catalogue; and who does which periodic work."""

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    """Creates the tables, and fills them from the catalogue as it is."""
    op.create_table(
        "classify_tally",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("personal", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("abstained", sa.Boolean, primary_key=True),
        sa.Column("locked", sa.Boolean, primary_key=True),
        sa.Column("columns", sa.Integer, nullable=False),
    )
    op.create_table(
        "classify_system",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("tables", sa.Integer, nullable=False),
    )
    op.create_table(
        "classify_name",
        sa.Column(
            "id",
            sa.Integer,
            sa.ForeignKey("classify_column.id"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("named", sa.Text, nullable=False),
    )
    op.create_table(
        "node_job",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("owner", sa.String(32), nullable=False),
        sa.Column("leased_until", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("done_at", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("said", sa.Text, nullable=False),
    )
    op.execute(
        "INSERT INTO classify_tally SELECT source, level, personal, abstained, locked, count(*) "
        "FROM classify_column WHERE NOT gone GROUP BY source, level, personal, abstained, locked"
    )
    op.execute(
        "INSERT INTO classify_system SELECT source, count(*) FROM (SELECT DISTINCT source, "
        "schema_name, table_name FROM classify_column WHERE NOT gone) AS t GROUP BY source"
    )
    op.execute(
        "INSERT INTO classify_name "
        "SELECT id, lower(column_name || ' ' || table_name) FROM classify_column WHERE NOT gone"
    )
    # A page of a list is walked to in the order of its numbers, and nothing has to be sorted for it.
    op.create_index(
        "classify_column_walked",
        "classify_column",
        ["gone", "id", "source", "level", "personal", "abstained", "locked"],
    )
