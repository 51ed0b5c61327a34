-- Drops the tables of the trail, with all that was recorded.
DROP TABLE @schema@.activity
;;
DROP TABLE @schema@.transaction
;;
DROP TABLE @schema@.activity_coverage
