-- What a leaf says of an activity in the clear: each text with its length before it, or -1 for NULL. What is erased is
-- masked since then, and was not when it was recorded.
            int4send(octet_length(convert_to('activity', 'UTF8'))) || convert_to('activity', 'UTF8')
                || int4send(octet_length(convert_to(a.id::text, 'UTF8'))) || convert_to(a.id::text, 'UTF8')
                || int4send(octet_length(convert_to(a.transaction_id::text, 'UTF8'))) || convert_to(a.transaction_id::text, 'UTF8')
                || int4send(octet_length(convert_to((extract(epoch FROM a.issued_at) * 1000000)::bigint::text, 'UTF8'))) || convert_to((extract(epoch FROM a.issued_at) * 1000000)::bigint::text, 'UTF8')
                || int4send(octet_length(convert_to(a.native_transaction_id::text, 'UTF8'))) || convert_to(a.native_transaction_id::text, 'UTF8')
                || int4send(octet_length(convert_to(a.relid::bigint::text, 'UTF8'))) || convert_to(a.relid::bigint::text, 'UTF8')
                || int4send(octet_length(convert_to(a.schema, 'UTF8'))) || convert_to(a.schema, 'UTF8')
                || int4send(octet_length(convert_to(a.table_name, 'UTF8'))) || convert_to(a.table_name, 'UTF8')
                || int4send(octet_length(convert_to(a.verb, 'UTF8'))) || convert_to(a.verb, 'UTF8')
                || coalesce(int4send(octet_length(convert_to((CASE WHEN a.erased IS NULL THEN to_jsonb(a.masked) ELSE nullif(to_jsonb(a.masked) - a.erased, '[]') END)::text, 'UTF8')))
                    || convert_to((CASE WHEN a.erased IS NULL THEN to_jsonb(a.masked) ELSE nullif(to_jsonb(a.masked) - a.erased, '[]') END)::text, 'UTF8'), '\xffffffff'::bytea)
                || coalesce(int4send(octet_length(a.delta_depth::text)) || a.delta_depth::text::bytea, '\xffffffff'::bytea)
