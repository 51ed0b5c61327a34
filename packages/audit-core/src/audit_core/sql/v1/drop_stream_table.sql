DROP TABLE @schema@.activity_stream
