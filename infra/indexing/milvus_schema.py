"""A table's schema, as Milvus spells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymilvus import CollectionSchema, DataType, MilvusClient

from infra.indexing.schema import (
    KEY,
    KEY_BYTES,
    TEXT_BYTES,
    VECTOR,
    Column,
    ColumnKind,
    TableSchema,
)

if TYPE_CHECKING:
    from encoder.metric import Metric

_TYPES = {
    DataType.VARCHAR: ColumnKind.TEXT,
    DataType.DOUBLE: ColumnKind.NUMBER,
    DataType.INT64: ColumnKind.INTEGER,
    DataType.JSON: ColumnKind.JSON,
}
_DATA_TYPES = {kind: data_type for data_type, kind in _TYPES.items()}


def milvus_schema(schema: TableSchema) -> CollectionSchema:
    """Spell a table's schema as Milvus does."""
    made = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    made.add_field(KEY, DataType.VARCHAR, is_primary=True, max_length=KEY_BYTES)
    made.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=schema.dimension)
    for column in schema.columns:
        size = {"max_length": TEXT_BYTES} if column.kind is ColumnKind.TEXT else {}
        made.add_field(column.name, _DATA_TYPES[column.kind], **size)
    return made


def our_schema(fields: list[dict[str, Any]], metric: Metric) -> TableSchema:
    """Read a table's schema as Milvus tells it.

    Args:
        fields: Its fields.
        metric: How vectors are compared.
    """
    columns = tuple(
        Column(field["name"], _TYPES[field["type"]])
        for field in fields
        if field["name"] not in (KEY, VECTOR)
    )
    (vector,) = (field for field in fields if field["name"] == VECTOR)
    return TableSchema(columns=columns, dimension=int(vector["params"]["dim"]), metric=metric)
