DROP TABLE @schema@.activity
;;
DROP TABLE @schema@.transaction
;;
DROP TABLE @schema@.activity_coverage
