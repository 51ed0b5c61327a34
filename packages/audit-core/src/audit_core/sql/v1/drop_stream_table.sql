-- Drops the table of the consumers of streams.
DROP TABLE @schema@.activity_stream
