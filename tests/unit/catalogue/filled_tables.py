"""A catalogue with rows in every table, whatever its revision."""

import datetime

from sqlalchemy import (
    JSON,
    Boolean,
    DateTime,
    Float,
    Integer,
    MetaData,
    create_engine,
    insert,
    select,
)

from hoverfast_platform.catalogue.database import database_url
from tests.builders import provenance


def fill(location, n=3):
    """Put ``n`` rows into every table there is, of whatever columns it has."""
    engine = create_engine(database_url(location))
    tables = MetaData()
    with engine.begin() as connection:
        tables.reflect(connection)
        for table in tables.sorted_tables:
            if table.name != "alembic_version":
                connection.execute(insert(table), [row_of(table, i) for i in range(1, n + 1)])
    before = contents(engine)
    engine.dispose()
    return before


def row_of(table, i):
    values = {}
    for column in table.columns:
        if column.primary_key or column.foreign_keys:
            values[column.name] = i
        elif column.name == "provenance":
            values[column.name] = provenance(f"{i} Gr\u00f6\u00dfe").model_dump(mode="json")
        elif isinstance(column.type, JSON):
            values[column.name] = {"n": i, "text": "Gr\u00f6\u00dfe"}
        elif isinstance(column.type, DateTime):
            values[column.name] = datetime.datetime(2026, 1, i, 12, tzinfo=datetime.UTC)
        elif isinstance(column.type, Boolean):
            values[column.name] = True
        elif isinstance(column.type, Integer | Float):
            values[column.name] = i
        else:
            values[column.name] = f"{i} {column.name}"[: column.type.length]
    return values


def contents(engine):
    """Rows of all tables, by table and column."""
    tables = MetaData()
    with engine.connect() as connection:
        tables.reflect(connection)
        return {
            table.name: [dict(row) for row in connection.execute(select(table)).mappings()]
            for table in tables.sorted_tables
            if table.name != "alembic_version"
        }
