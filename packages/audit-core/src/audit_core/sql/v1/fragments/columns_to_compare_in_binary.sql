-- The recorded columns whose values may differ though they are the same JSON.
                -- Values that are the same JSON are the same in columns of these types, which are most.
                SELECT FROM pg_attribute AS a
                WHERE a.attrelid = @relation@ AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> ALL (excluded)
                  AND a.atttypid NOT IN (
                      'bigint'::regtype, 'boolean'::regtype, 'bpchar'::regtype, 'date'::regtype, 'integer'::regtype,
                      'jsonb'::regtype, 'smallint'::regtype, 'text'::regtype, 'timestamp'::regtype,
                      'timestamptz'::regtype, 'uuid'::regtype, 'varchar'::regtype)
                  AND (a.atttypid <> 'numeric'::regtype OR a.atttypmod = -1)
