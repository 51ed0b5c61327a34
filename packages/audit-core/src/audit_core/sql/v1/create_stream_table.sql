-- Creates the table that says how far the consumers of streams have read.
CREATE TABLE @schema@.activity_stream (
    name text COLLATE "C" PRIMARY KEY,
    last_id bigint NOT NULL,
    epoch text NOT NULL,
    created_at timestamptz NOT NULL,
    acknowledged_at timestamptz
)
;;
REVOKE ALL ON @schema@.activity_stream FROM PUBLIC
;;
COMMENT ON TABLE @schema@.activity_stream IS 'audit trail: who reads along, and how far'
