-- The fields of the activities or transactions with these ids, under the names that they had when they were sealed, and
-- whether their values are about to go.
            SELECT a.id, x.value, x.name = ANY (fields) AS is_going,
                @schema@.audit_logger_sealed_name(a.schema, a.table_name, x.name, sealed.seen_id) AS sealed_name
            FROM @schema@.activity AS a CROSS JOIN LATERAL (
@include fields_of_sealed_activity@
            ) AS x
            WHERE is_activity AND a.id = ANY (ids)
            UNION ALL
            SELECT t.id, x.value, x.name = ANY (fields), x.name
            FROM @schema@.transaction AS t CROSS JOIN LATERAL (
@include fields_of_sealed_transaction@
            ) AS x
            WHERE NOT is_activity AND t.id = ANY (ids)
