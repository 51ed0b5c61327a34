-- Adds the index of the coverage by the number of a table.
CREATE INDEX activity_coverage_relid_idx ON @schema@.activity_coverage (relid)
