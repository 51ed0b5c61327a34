-- What a leaf says of a transaction in the clear.
            int4send(octet_length(convert_to('transaction', 'UTF8'))) || convert_to('transaction', 'UTF8')
                || int4send(octet_length(convert_to(t.id::text, 'UTF8'))) || convert_to(t.id::text, 'UTF8')
                || int4send(octet_length(convert_to(t.native_transaction_id::text, 'UTF8'))) || convert_to(t.native_transaction_id::text, 'UTF8')
                || int4send(octet_length(convert_to((extract(epoch FROM t.issued_at) * 1000000)::bigint::text, 'UTF8'))) || convert_to((extract(epoch FROM t.issued_at) * 1000000)::bigint::text, 'UTF8')
