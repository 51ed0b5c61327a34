-- Drops the tables of the trail, with all that was recorded.
DROP TABLE @schema@.activity
;;
DROP TABLE @schema@.transaction
;;
DROP TABLE @schema@.activity_coverage
;;
DROP TABLE @schema@.activity_partition
;;
DROP TABLE @schema@.activity_retention
;;
DROP TABLE @schema@.activity_hold
;;
DROP TABLE @schema@.activity_seal
;;
DROP TABLE @schema@.activity_seal_leaf
;;
DROP TABLE @schema@.activity_commitment
