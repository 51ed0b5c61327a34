CREATE INDEX activity_coverage_relid_idx ON @schema@.activity_coverage (relid)
