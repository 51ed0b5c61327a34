-- Of a row, the columns that changed.
            @data@ - ARRAY(SELECT k.name FROM jsonb_object_keys(@data@) AS k (name) WHERE NOT @changes@ ? k.name)
