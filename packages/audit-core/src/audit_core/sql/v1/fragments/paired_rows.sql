-- Each updated row, converted: old_row, new_row, and what changed.
            SELECT old_row, new_row,
                   new_row - ARRAY(
                       SELECT e.key FROM jsonb_each(old_row) AS e WHERE e.value = new_row -> e.key) AS changes
            FROM (
                SELECT CASE WHEN may_exceed_jsonb THEN @schema@.audit_logger_to_jsonb(before) ELSE to_jsonb(before) END
                       - excluded AS old_row,
                       CASE WHEN may_exceed_jsonb THEN @schema@.audit_logger_to_jsonb(after) ELSE to_jsonb(after) END
                       - excluded AS new_row
                FROM (SELECT (o.*)::record AS before, row_number() OVER () AS place
                      FROM old_table AS o) AS olds
                FULL JOIN (SELECT (n.*)::record AS after, row_number() OVER () AS place
                           FROM new_table AS n) AS news USING (place)
                OFFSET 0
            ) AS converted
